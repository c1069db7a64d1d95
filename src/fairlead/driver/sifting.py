"""Devices that the API server would refuse are left out and named, and the others are published.

A slice is refused as a whole, so one card whose firmware answers nonsense would take all others of the node with it.
What is wrong with a pool itself (its name, its counters) cannot be sifted, and is the discovery's failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fairlead.driver.author import Pool
from fairlead.driver.slices import Publication, problems_of
from fairlead.resource import Device, Problem

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1


def sift(of: Publication, pools: Sequence[Pool]) -> tuple[Sequence[Pool], list[Problem]]:
    """The pools without the devices that cannot be published, which are among the pools' problems.

    Args:
        of: whose slices these will be.
        pools: named, as an inventory has them.

    Returns:
        the pools, and what the API server would say of them still.
    """
    problems = problems_of(of, pools)
    if not problems and not any(map(_too_wide, (one for pool in pools for one in pool.devices))):
        return pools, []
    left = [_sifted(of, pool) for pool in pools]
    return left, problems_of(of, left)


def _sifted(of: Publication, pool: Pool) -> Pool:
    wide = {one.name: text for one in pool.devices if (text := _too_wide(one))}
    if not wide and not problems_of(of, [pool]):
        return pool
    bad = wide | {one.name: text for one in pool.devices if one.name not in wide and (text := _refused(of, pool, one))}
    if len(bad) == len(pool.devices):
        return pool  # not the devices' fault, or nothing would be left to publish
    return replace(
        pool,
        devices=[one for one in pool.devices if one.name not in bad],
        parts={part: whole for part, whole in pool.parts.items() if part not in bad and whole not in bad},
        problems=[*pool.problems, *(f"{name}: cannot be published: {text}" for name, text in bad.items())],
    )


def _refused(of: Publication, pool: Pool, device: Device) -> str:
    problems = problems_of(of, [replace(pool, devices=[device], parts={})])
    return f"{problems[0].field.removeprefix('spec.devices[0].')}: {problems[0].reason}" if problems else ""


def _too_wide(device: Device) -> str:
    """The API server cannot even read an integer of more than 64 bits."""
    for name, attribute in device.attributes.items():
        if attribute.int_ is not None and not _LEAST <= attribute.int_ <= _MOST:
            return f"attributes[{name}]: {attribute.int_} has more than 64 bits"
    return ""
