"""The checks, a module a group. Importing this package fills the catalogue; `ORDER` is the order of the groups."""

from typing import Final

from fairlead.conformance.checks import (
    attributes,
    cdi,
    config,
    health,
    overall,
    prepare,
    refuse,
    registration,
    restart,
    sharing,
    slices,
    trouble,
    unprepare,
    update,
)

ORDER: Final = tuple(
    module.__name__.rpartition(".")[2]
    for module in (
        registration,
        slices,
        attributes,
        prepare,
        cdi,
        refuse,
        sharing,
        config,
        unprepare,
        trouble,
        health,
        restart,
        update,
        overall,
    )
)

__all__ = ["ORDER"]
