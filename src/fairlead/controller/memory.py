"""Keeps Python's garbage collector from looking through a whole cluster again and again.

The objects of a cluster, and what a planner knows of them, live as long as the process. A full collection with 5,000
nodes and 100,000 devices takes most of a second, and without this every start sees several of them.
"""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLD: Final = (50_000, 20, 100)
"""New objects before the youngest are collected, and how often that happens before older ones are."""


def prepare() -> None:
    """Makes collections rarer, for a process that holds a cluster."""
    gc.set_threshold(*_THRESHOLD)


def settle(again: bool) -> None:
    """Takes all that there is out of collections, once a planner was made.

    Args:
        again: whether there was one before; what it held is collected then.
    """
    if again:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
