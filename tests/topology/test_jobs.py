"""What a job over several nodes moves."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st
from machines import gb200, hgx, wired

from fairlead.topology import Bandwidth, Rules, Wiring, build_tree, default_rules, job_bandwidth, read_rules

BLOCK = "cloud.provider.com/topology-block"
RACK = "cloud.provider.com/topology-rack"
CLIQUE = "nvidia.com/gpu.clique"
HGX = wired(hgx())
TRAY = wired(gb200())
LABELS = {f"n{i}": {BLOCK: f"b{i // 4}", RACK: f"r{i // 2}", CLIQUE: f"c{i // 2}"} for i in range(8)}
SHARED = read_rules(
    """
    levels:
      - {name: block, labels: [cloud.provider.com/topology-block], oversubscription: 2}
      - {name: spine, labels: [example.com/spine], oversubscription: 5}
    defaults: {cross_rail: 4}
    """,
    "test",
)


def job(*members: tuple[int, Wiring, list[int]], rules: Rules | None = None) -> Bandwidth:
    """The job with devices on nodes by number."""
    rules = rules or default_rules()
    return job_bandwidth(
        [(f"n{n}", wiring, devices) for n, wiring, devices in members], build_tree(LABELS, rules), rules
    )


def test_nobody_and_one_node() -> None:
    assert job().all_reduce == inf
    assert job((0, HGX, [0, 1, 8, 9])) == HGX.bandwidth([0, 1, 8, 9])


def test_members_on_one_node_count_together() -> None:
    assert job((0, HGX, [0, 8]), (0, HGX, [1, 9])) == HGX.bandwidth([0, 1, 8, 9])


def test_between_nodes_it_is_the_nics() -> None:
    whole = list(range(16))
    assert job((0, HGX, whole), (1, HGX, whole)).all_reduce == 400
    assert job((0, HGX, [0, 8]), (1, HGX, [0, 8])).all_reduce == 50


def test_the_node_with_the_least_limits_all() -> None:
    found = job((0, HGX, [0, 8]), (1, HGX, [0, 9]), (2, HGX, [0, 8]))
    assert found.all_reduce == found.network == 25
    assert any(part.startswith("between nodes: network of n1 25 GB/s") for part in found.parts)
    assert any("gpu-0 - nic-1: only on the same NUMA node" in part for part in found.parts)


def test_without_nics_nothing_is_counted_and_it_says_so() -> None:
    found = job((0, HGX, [0]), (1, HGX, [0]))
    assert found.all_reduce == 0
    assert any("pod network is not counted" in part for part in found.parts)


def test_a_member_without_gpus_does_not_count_beside_others() -> None:
    assert job((0, HGX, [0, 8]), (1, HGX, [0, 8]), (2, HGX, [])).all_reduce == 50


def test_one_nvlink_domain_needs_no_network() -> None:
    found = job((0, TRAY, [0, 1, 2, 3]), (1, TRAY, [0, 1, 2, 3]))
    assert found.all_reduce == 900
    assert any(part.startswith("between nodes of one domain: nvlink 900 GB/s") for part in found.parts)
    assert job((0, TRAY, [0]), (1, TRAY, [0])).all_reduce == 900


def test_two_nvlink_domains_go_over_the_nics_of_all_their_nodes() -> None:
    tray = list(range(12))
    assert job((0, TRAY, tray), (2, TRAY, tray)).all_reduce == 400
    assert job((0, TRAY, tray), (1, TRAY, tray), (2, TRAY, tray), (3, TRAY, tray)).all_reduce == 800


def test_a_published_domain_counts_where_there_is_no_label() -> None:
    one, two = wired(gb200("f1")), wired(gb200("f2"))
    tree = build_tree({}, default_rules())
    members = [("a", one, [0, 4]), ("b", one, [0, 4])]
    assert job_bandwidth(members, tree, default_rules()).all_reduce == 900
    assert job_bandwidth([*members[:1], ("b", two, [0, 4])], tree, default_rules()).all_reduce == 50
    unnamed = [("a", TRAY, [0, 4]), ("b", TRAY, [0, 4])]
    assert job_bandwidth(unnamed, tree, default_rules()).all_reduce == 50


def test_gpus_that_cannot_span_are_not_joined_by_a_label() -> None:
    assert job((0, HGX, [0, 8]), (1, HGX, [0, 8])).all_reduce == 50  # n0 and n1 have one clique label


def test_the_level_that_nodes_share_divides_the_network() -> None:
    pair = [0, 8]
    same_rack = job((0, HGX, pair), (1, HGX, pair), rules=SHARED)
    same_block = job((0, HGX, pair), (2, HGX, pair), rules=SHARED)
    other_block = job((0, HGX, pair), (4, HGX, pair), rules=SHARED)
    assert (same_rack.network, same_block.network, other_block.network) == (50, 25, 25)
    assert "the nodes share a block: the way between them is shared 2 times" in same_block.parts
    assert "the nodes share no level: the way between them is shared 2 times" in other_block.parts


def test_other_rails_cost_what_the_rules_say() -> None:
    assert job((0, HGX, [0, 8]), (1, HGX, [1, 9]), rules=SHARED).network == 12.5
    found = job((0, HGX, [0, 8]), (1, HGX, [1, 9]))
    assert found.network == 50
    assert "the nodes use different rails" in found.parts


def test_unknown_rails_are_named() -> None:
    driver, first = hgx()[8]
    nowhere = (driver, type(first)(first.name, {k: v for k, v in first.attributes.items() if "pciAddress" not in k}))
    loose = wired([hgx()[0], nowhere])
    assert "rails are unknown" in job((0, loose, [0, 1]), (1, loose, [0, 1])).parts
    assert "rails are unknown" not in job((0, HGX, [0, 8]), (1, HGX, [0, 8])).parts


@given(st.lists(st.tuples(st.integers(0, 7), st.sets(st.integers(0, 15), min_size=1)), max_size=5), st.randoms())
def test_the_order_of_members_does_not_matter(given_members: list[tuple[int, set[int]]], random: object) -> None:
    members = [(node, HGX, sorted(devices)) for node, devices in given_members]
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = job(*members, rules=SHARED), job(*shuffled, rules=SHARED)
    assert (one.ring, one.all_reduce, one.network) == (two.ring, two.all_reduce, two.network)


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from([(0, 8), (0, 9), (0, 1, 8, 9), (0,)])), min_size=1))
def test_one_more_node_without_nvlink_never_raises(given_members: list[tuple[int, tuple[int, ...]]]) -> None:
    nodes = {node: list(devices) for node, devices in given_members}
    members = [(node, HGX, devices) for node, devices in nodes.items()]
    for count in range(1, len(members)):
        fewer, more = job(*members[:count], rules=SHARED), job(*members[: count + 1], rules=SHARED)
        assert more.all_reduce <= fewer.all_reduce
        assert more.ring <= fewer.ring
        assert more.network <= fewer.network
