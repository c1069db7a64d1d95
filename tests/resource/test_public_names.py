"""The package shows the names it lists, sorted, and no more."""

from __future__ import annotations

import types

import fairlead.resource


def test_all_is_sorted_and_without_doubles() -> None:
    assert fairlead.resource.__all__ == sorted(set(fairlead.resource.__all__))


def test_all_is_what_is_visible() -> None:
    visible = {
        name
        for name, value in vars(fairlead.resource).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert visible == set(fairlead.resource.__all__)
