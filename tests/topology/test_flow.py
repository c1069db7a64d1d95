"""The greatest flow, against the smallest cut."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.topology.flow import Flow

NODES = range(6)
WAYS = st.dictionaries(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), st.integers(1, 5), max_size=14)


def smallest_cut(ways: dict[tuple[int, int], int]) -> int:
    """What crosses from the start's side to the end's, over all ways to share out the nodes between."""
    best = sum(ways.values())
    for sides in product((False, True), repeat=len(NODES) - 2):
        start_side = [True, *sides, False]
        best = min(best, sum(width for (a, b), width in ways.items() if start_side[a] and not start_side[b]))
    return best


@settings(max_examples=300)
@given(WAYS)
def test_the_greatest_flow_is_the_smallest_cut(ways: dict[tuple[int, int], int]) -> None:
    ways = {(a, b): width for (a, b), width in ways.items() if a != b}
    flow = Flow()
    for (a, b), width in ways.items():
        flow.add(a, b, width)
    assert flow.greatest(0, 5) == smallest_cut(ways)


def test_a_way_given_twice_counts_once_with_the_wider() -> None:
    flow = Flow()
    for width in (1, 3, 2):
        flow.add("a", "b", width)
    assert flow.greatest("a", "b") == 3


def test_a_detour_is_taken_back() -> None:
    """The shortest first path blocks both others unless part of it can be undone."""
    flow = Flow()
    for way in ("sa", "ab", "bt", "sc", "cb", "ad", "de", "et"):
        flow.add(way[0], way[1], 1)
    assert flow.greatest("s", "t") == 2
