"""The best ring, against all rings."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.topology.ring import best_ring

Weights = list[list[float]]


def best_of_all(weights: Weights) -> float:
    size = len(weights)
    if size == 2:
        return weights[0][1]
    return max(
        min(weights[a][b] for a, b in zip((0, *order), (*order, 0), strict=True))
        for order in permutations(range(1, size))
    )


@st.composite
def matrices(draw: st.DrawFn, most: int = 7) -> Weights:
    size = draw(st.integers(2, most))
    weights = [[0.0] * size for _ in range(size)]
    for a in range(size):
        for b in range(a):
            weights[a][b] = weights[b][a] = draw(st.sampled_from([1.0, 2.0, 4.0, 8.0]))
    return weights


@settings(max_examples=300)
@given(matrices())
def test_it_is_the_best_of_all_rings(weights: Weights) -> None:
    assert best_ring(weights) == best_of_all(weights)


@given(matrices(14), st.data())
def test_a_slower_link_never_makes_a_faster_ring(weights: Weights, data: st.DataObject) -> None:
    before = best_ring(weights)
    a = data.draw(st.integers(1, len(weights) - 1))
    b = data.draw(st.integers(0, a - 1))
    weights[a][b] = weights[b][a] = 0.5
    assert best_ring(weights) <= before


@given(matrices(12), st.randoms(use_true_random=False))
def test_the_order_of_members_does_not_matter(weights: Weights, random: object) -> None:
    order = list(range(len(weights)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert best_ring([[weights[a][b] for b in order] for a in order]) == best_ring(weights)


def test_sixteen_members_that_meet_at_one() -> None:
    """Two groups of eight that share fast links only through one member: the fast ones contain no ring."""
    weights = [[8.0 if (a < 8) == (b < 8) or 0 in (a, b) else 1.0 for b in range(16)] for a in range(16)]
    assert best_ring(weights) == 1.0


def test_sixteen_members_in_pairs_of_a_ring() -> None:
    weights = [[8.0 if (a - b) % 16 in (1, 15) else 1.0 for b in range(16)] for a in range(16)]
    assert best_ring(weights) == 8.0


def test_fifteen_members_with_a_path_but_no_ring() -> None:
    """Fast links only between a group of eight and one of seven: a path through all ends where it began its side."""
    weights = [[8.0 if (a < 8) != (b < 8) else 1.0 for b in range(15)] for a in range(15)]
    assert best_ring(weights) == 1.0
