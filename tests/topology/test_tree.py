"""The tree of nodes: levels in order, nesting, and every kind of bad label."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.topology import PROBLEM_KINDS, Tree, build_tree, default_rules, read_rules

ZONE = "topology.kubernetes.io/zone"
BLOCK = "cloud.provider.com/topology-block"
RACK = "cloud.provider.com/topology-rack"
ACCELERATOR = "network.topology.nvidia.com/accelerator"
CLIQUE = "nvidia.com/gpu.clique"
Labels = dict[str, dict[str, str]]


def cluster() -> Labels:
    """Eight nodes: a zone, two blocks, four racks."""
    return {f"n{i}": {ZONE: "z", BLOCK: f"b{i // 4}", RACK: f"r{i // 2}"} for i in range(8)}


def tree(labels: Labels, *extra: str) -> Tree:
    return build_tree(labels, default_rules(), extra)


def names(found: Tree) -> list[str]:
    return [level.name for level in found.levels]


def kinds(found: Tree) -> list[tuple[str, str, str]]:
    return [(problem.kind, problem.level, problem.domain) for problem in found.problems]


def test_levels_are_those_that_nodes_have_widest_first() -> None:
    found = tree(cluster())
    assert names(found) == ["zone", "block", "rack"]
    assert found.paths["n5"] == ("z", "b1", "r2")
    assert found.problems == ()


def test_the_domain_of_a_node() -> None:
    found = tree(cluster())
    assert found.domain("n5", "rack") == "r2"
    assert found.domain("n5", "hall") == ""
    assert found.domain("stranger", "rack") == ""


def test_no_nodes_and_no_labels() -> None:
    for labels in ({}, {"n": {}}):
        found = tree(labels)
        assert (found.levels, found.problems) == ((), ())
        assert found.paths == dict.fromkeys(labels, ())


def test_the_label_of_a_level_is_one_that_nodes_have() -> None:
    assert [level.label for level in tree(cluster()).levels] == [ZONE, BLOCK, RACK]


def test_all_levels_of_topograph() -> None:
    prefix = "network.topology.nvidia.com/"
    levels = ["datacenter", "spine", "block", "accelerator"]
    labels = {f"n{i}": {prefix + name: f"{name}-{i >> (3 - at)}" for at, name in enumerate(levels)} for i in range(8)}
    assert names(tree(labels)) == levels


def test_a_user_names_levels_by_label_and_gives_their_order() -> None:
    labels = {f"n{i}": {"example.com/hall": f"h{i // 4}", "example.com/row": f"w{i}"} for i in range(8)}
    found = tree(labels, "example.com/hall", "row=example.com/row")
    assert names(found) == ["example.com/hall", "row"]
    assert found.domain("n5", "row") == "w5"


def test_levels_that_nobody_orders_follow_how_domains_lie() -> None:
    labels = {
        f"n{i}": {"example.com/pod": f"p{i // 6}", ZONE: f"z{i // 12}", ACCELERATOR: f"a{i // 3}", RACK: f"r{i // 2}"}
        for i in range(24)
    }
    rules = read_rules("levels: [{name: pod, labels: [example.com/pod]}]", "mine.yaml")
    for node in labels:  # racks and accelerators cross unless one of them is left away
        del labels[node][RACK]
    assert names(build_tree(labels, rules)) == ["zone", "pod", "accelerator"]


def test_a_level_that_no_node_has() -> None:
    found = tree(cluster(), "example.com/hall", "datacenter")
    assert kinds(found) == [("unknown-level", "datacenter", ""), ("unknown-level", "example.com/hall", "")]
    assert names(found) == ["zone", "block", "rack"]


def test_a_level_of_a_users_file_that_no_node_has() -> None:
    rules = read_rules("levels: [{name: hall, labels: [example.com/hall]}]", "mine.yaml")
    assert kinds(build_tree(cluster(), rules)) == [("unknown-level", "hall", "")]


def test_nodes_without_a_label_that_others_have() -> None:
    labels = cluster()
    del labels["n2"][RACK]
    labels["n3"][RACK] = ""
    found = tree(labels)
    assert kinds(found) == [("missing-label", "rack", "")]
    assert found.problems[0].nodes == ("n2", "n3")
    assert found.domain("n2", "rack") == found.domain("n3", "rack") == ""
    assert names(found) == ["zone", "block", "rack"]


def test_a_rack_in_two_blocks_costs_the_level_of_racks_only() -> None:
    labels = cluster()
    labels["n4"][RACK] = "r0"
    found = tree(labels)
    assert kinds(found) == [("two-parents", "rack", "r0")]
    assert found.problems[0].nodes == ("n0", "n1", "n4")
    assert "block: b0, b1" in found.problems[0].text
    assert names(found) == ["zone", "block"]
    assert found.paths["n4"] == ("z", "b1")


def test_names_that_repeat_in_every_block_are_named_each() -> None:
    labels = {f"n{i}": {BLOCK: f"b{i // 4}", RACK: f"r{i // 2 % 2}"} for i in range(8)}
    found = tree(labels)
    assert kinds(found) == [("two-parents", "rack", "r0"), ("two-parents", "rack", "r1")]
    assert names(found) == ["block"]


def test_levels_that_cross_without_an_order() -> None:
    labels = {f"n{i}": {RACK: f"r{i // 2}", ACCELERATOR: f"a{i // 3}"} for i in range(6)}
    found = tree(labels)
    assert [kind for kind, _, _ in kinds(found)] == ["crossing"] * len(found.problems)
    assert found.problems
    assert len(found.levels) == 1


def test_a_level_given_twice() -> None:
    assert kinds(tree(cluster(), "rack", RACK)) == [("given-twice", "rack", "")]
    assert kinds(tree(cluster(), f"shelf={RACK}")) == [("given-twice", "rack", "")]
    assert kinds(tree(cluster(), "rack=example.com/other")) == [("given-twice", "rack", "")]
    assert names(tree(cluster(), "rack", "rack")) == ["zone", "block", "rack"]


def test_levels_above_each_other() -> None:
    found = tree(cluster(), "rack", "block")
    assert kinds(found) == [("cycle", "block", ""), ("cycle", "rack", "")]
    assert names(found) == ["zone"]


def test_a_long_loop_costs_all_of_it_and_nothing_else() -> None:
    rules = read_rules(
        """
        levels: [{name: a, labels: [a]}, {name: b, labels: [b]}, {name: c, labels: [c]}]
        hierarchies: [[zone, a, b], [b, c], [c, a]]
        """,
        "mine.yaml",
    )
    labels = {f"n{i}": {"a": "x", "b": "x", "c": "x", ZONE: "z"} for i in range(2)}
    found = build_tree(labels, rules)
    assert kinds(found) == [("cycle", "a", ""), ("cycle", "b", ""), ("cycle", "c", "")]
    assert names(found) == ["zone"]


def test_two_labels_of_a_level_may_name_domains_differently() -> None:
    labels = {f"n{i}": {ACCELERATOR: f"nvl{i // 2}", CLIQUE: f"0e5a.{i // 2}"} for i in range(6)}
    del labels["n5"][ACCELERATOR]
    del labels["n4"][CLIQUE]
    del labels["n3"][ACCELERATOR]
    found = tree(labels)
    assert found.problems == ()
    assert found.domain("n3", "accelerator") == found.domain("n2", "accelerator") == "nvl1"
    assert found.domain("n4", "accelerator") == "nvl2"
    assert found.domain("n5", "accelerator") == "0e5a.2"  # no node tells that nvl2 is the same


def test_a_name_that_the_other_label_uses_otherwise_is_kept_apart() -> None:
    labels = {"n0": {ACCELERATOR: "x", CLIQUE: "y"}, "n1": {CLIQUE: "x"}, "n2": {CLIQUE: "z"}}
    assert tree(labels).paths == {"n0": ("x",), "n1": (f"{CLIQUE}=x",), "n2": ("z",)}


def test_two_labels_that_group_nodes_differently_cost_the_level() -> None:
    labels = {f"n{i}": {RACK: "r", ACCELERATOR: f"nvl{i // 2}", CLIQUE: f"c{i // 2}"} for i in range(6)}
    labels["n3"][CLIQUE] = "c0"
    found = tree(labels)
    assert kinds(found) == [("two-domains", "accelerator", "c0")]
    assert set(found.problems[0].nodes) == {"n0", "n1", "n3"}
    assert names(found) == ["rack"]


def test_either_of_two_labels_may_be_the_finer() -> None:
    for first, second in ((ACCELERATOR, CLIQUE), (CLIQUE, ACCELERATOR)):
        found = tree({f"n{i}": {first: "whole", second: f"half{i}"} for i in range(2)})
        assert [(kind, level) for kind, level, _ in kinds(found)] == [("two-domains", "accelerator")]


def test_trays_that_are_missing_leave_the_domain_as_it_is() -> None:
    labels = {f"n{i}": {CLIQUE: f"c{i // 18}"} for i in range(36) if i not in (3, 20, 21)}
    found = tree(labels)
    assert found.problems == ()
    assert sum(path == ("c0",) for path in found.paths.values()) == 17


LABELS = st.dictionaries(
    st.sampled_from([f"n{i}" for i in range(6)]),
    st.dictionaries(st.sampled_from([ZONE, BLOCK, RACK, ACCELERATOR, CLIQUE]), st.sampled_from(["", "x", "y", "z"])),
)
EXTRA = st.lists(st.sampled_from(["rack", "block", ZONE, "hall", "a=b", f"c={RACK}"]), max_size=3)


@given(LABELS, EXTRA)
def test_whatever_the_labels_the_tree_nests(labels: Labels, extra: list[str]) -> None:
    found = tree(labels, *extra)
    assert found.paths.keys() == labels.keys()
    for inner in range(len(found.levels)):
        for outer in range(inner):
            parents: dict[str, set[str]] = {}
            for path in found.paths.values():
                if path[inner] and path[outer]:
                    parents.setdefault(path[inner], set()).add(path[outer])
            assert all(len(found_parents) == 1 for found_parents in parents.values())
    assert all(problem.kind in PROBLEM_KINDS and problem.text for problem in found.problems)
    left_out = {p.level for p in found.problems if p.kind not in ("missing-label", "given-twice")}
    assert not left_out & set(names(found))


@given(LABELS, st.randoms())
def test_the_order_of_nodes_does_not_matter(labels: Labels, random: object) -> None:
    shuffled = list(labels)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = tree(labels), tree({node: labels[node] for node in shuffled})
    assert one.levels == two.levels
    assert {(p.kind, p.level, p.domain, frozenset(p.nodes)) for p in one.problems} == {
        (p.kind, p.level, p.domain, frozenset(p.nodes)) for p in two.problems
    }
    assert one.paths == two.paths
