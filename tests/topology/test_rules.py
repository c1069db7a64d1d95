"""The data file: what a user adds to it, and what is refused with which field path."""

from __future__ import annotations

from pathlib import Path

import pytest
from machines import device, gb200, gpu, nic, wired

from fairlead.topology import RulesError, build_tree, default_rules, read_rules


def test_nothing_on_top_changes_nothing() -> None:
    for text in ("", "# only a comment\n", "{}"):
        assert read_rules(text, "mine.yaml") == default_rules()


def test_a_new_driver() -> None:
    rules = read_rules(
        """
        drivers:
          - name: npu.example.com
            kinds:
              - {kind: other, when: {role: management}}
              - {kind: accelerator}
            attributes: {model: [chip], switch: [plx], bus: [npu.example.com/address]}
        """,
        "mine.yaml",
    )
    npu = device("npu.example.com", "n", {"chip": "N1", "plx": "sw0", "npu.example.com/address": "0000:05:00.0"})
    found = wired([npu], rules).locations[0]
    assert (found.kind, found.model, found.switch, found.bus) == ("accelerator", "N1", "sw0", "0000:05:00.0")
    assert found.sources["switch"] == "attribute plx"
    assert wired([device("npu.example.com", "m", {"role": "management"})], rules).locations[0].kind == "other"


def test_an_attribute_of_the_user_comes_before_the_known_ones() -> None:
    rules = read_rules("attributes: {numa: [site.example.com/numa]}", "mine.yaml")
    both = device("any.example.com", "d", {"site.example.com/numa": 3, "resource.kubernetes.io/numaNode": 0})
    assert wired([both], rules).locations[0].numa == 3
    assert wired([both]).locations[0].numa == 0


def test_a_platform_of_the_user() -> None:
    rules = read_rules(
        """
        platforms:
          - name: our-gb300
            kind: gpu
            model: NVIDIA GB300
            cases: [{bus: "0008:.*", numa: 0, rail: 4}, {bus: "0018:.*", numa: 1, rail: 5}]
            why: measured
        """,
        "mine.yaml",
    )
    found = wired([gpu("a", "NVIDIA GB300", bus="0008:06:00.0"), gpu("b", "NVIDIA GB300", bus="0018:06:00.0")], rules)
    assert [(one.numa, one.rail) for one in found.locations] == [(0, 4), (1, 5)]
    assert found.locations[0].sources["numa"] == "rule our-gb300"
    assert [one.numa for one in wired(gb200(), rules).locations[:4]] == [0, 0, 1, 1]  # the known ones are still there


def test_a_platform_of_the_same_name_replaces() -> None:
    rules = read_rules(
        """
        platforms:
          - name: gb200-numa-by-pci-domain
            kind: gpu
            model: NVIDIA GB200
            cases: [{bus: ".*", numa: 5}]
            why: other boards
        """,
        "mine.yaml",
    )
    assert [one.numa for one in wired(gb200(), rules).locations[:4]] == [5] * 4


def test_a_model_and_a_figure_of_the_user() -> None:
    rules = read_rules(
        """
        figures: [{name: our-link, gbytes: 12.5, source: our own measurement}]
        models:
          - {name: ours, kind: gpu, model: "NVIDIA H100 .*", host: pcie5x16, fabric: {figure: our-link, shape: switch}}
        """,
        "mine.yaml",
    )
    link = wired([gpu("a"), gpu("b")], rules).link(0, 1)
    assert (link.kind, link.gbytes, link.source) == ("nvlink", 12.5, "our own measurement")


def test_a_figure_of_the_same_name_replaces() -> None:
    rules = read_rules("figures: [{name: nvlink4, gbytes: 380, source: measured}]", "mine.yaml")
    assert wired([gpu("a"), gpu("b")], rules).link(0, 1).gbytes == 380


def test_a_level_of_the_user_and_its_place() -> None:
    rules = read_rules(
        """
        levels: [{name: hall, labels: [example.com/hall], oversubscription: 4}]
        hierarchies: [[zone, hall, block]]
        """,
        "mine.yaml",
    )
    labels = {
        f"n{i}": {
            "topology.kubernetes.io/zone": "z",
            "example.com/hall": f"h{i // 2}",
            "cloud.provider.com/topology-block": f"b{i}",
        }
        for i in range(4)
    }
    assert [level.name for level in build_tree(labels, rules).levels] == ["zone", "hall", "block"]


def test_rules_can_be_stacked() -> None:
    first = read_rules("attributes: {rail: [example.com/rail]}", "one.yaml")
    second = read_rules("attributes: {switch: [example.com/switch]}", "two.yaml", first)
    both = device("any.example.com", "d", {"example.com/rail": 3, "example.com/switch": "s"})
    found = wired([both], second).locations[0]
    assert (found.rail, found.switch) == (3, "s")


def test_a_rail_that_is_published_keeps_rails_from_being_counted() -> None:
    rules = read_rules("attributes: {rail: [example.com/rail]}", "mine.yaml")
    cabled = device("dra.net", "a", {"dra.net/pciAddress": "0000:01:00.0", "dra.net/rdma": True, "example.com/rail": 7})
    assert [one.rail for one in wired([cabled, nic("b", "0000:02:00.0")], rules).locations] == [7, None]


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("[]", "", "expected an object"),
        ("drivers: {}", "drivers", "must be a list"),
        ("divers: []", "divers", "unknown field"),
        ("drivers: [{name: a, kinds: [{kind: gpu}], attribute: {}}]", "drivers[0].attribute", "unknown field"),
        ("drivers: [{kinds: []}]", "drivers[0].name", "required value"),
        ("drivers: [{name: a}]", "drivers[0].kinds", "required value"),
        ("drivers: [{name: a, kinds: [{kind: gup}]}]", "drivers[0].kinds[0].kind", '"gup" is not one of'),
        ("drivers: [{name: a, kinds: [{kind: gpu, part: 1}]}]", "drivers[0].kinds[0].part", "must be true or false"),
        (
            "drivers: [{name: a, kinds: [{kind: gpu, when: {b: []}}]}]",
            "drivers[0].kinds[0].when.b",
            "must be a text, a whole number",
        ),
        ("attributes: {numma: [a]}", "attributes.numma", "unknown field"),
        ("attributes: {numa: a}", "attributes.numa", "must be a list"),
        ("attributes: {numa: [1]}", "attributes.numa[0]", "must be a text"),
        ("figures: [{name: a, gbytes: fast, source: b}]", "figures[0].gbytes", "must be a number"),
        ("figures: [{name: a, gbytes: 0, source: b}]", "figures[0].gbytes", "must be more than 0"),
        ("figures: [{name: a, gbytes: true, source: b}]", "figures[0].gbytes", "must be a number"),
        ("figures: [{name: a, gbytes: 1}]", "figures[0].source", "required value"),
        (
            "figures: [{name: a, gbytes: 1, source: b}, {name: a, gbytes: 2, source: b}]",
            "figures[1].name",
            '"a" is here twice',
        ),
        ("models: [{name: a, kind: gpu, model: '('}]", "models[0].model", "is no regular expression"),
        ("models: [{name: a, kind: gpu, model: b, host: c}]", "models[0].host", 'no figure is called "c"'),
        ("models: [{name: a, kind: nic, model: b, network: c}]", "models[0].network", 'no figure is called "c"'),
        (
            "models: [{name: a, kind: gpu, model: b, fabric: {figure: nvlink4, shape: star}}]",
            "models[0].fabric.shape",
            '"star" is not one of switch, mesh',
        ),
        (
            "models: [{name: a, kind: gpu, model: b, fabric: {figure: nvlink9, shape: mesh}}]",
            "models[0].fabric.figure",
            'no figure is called "nvlink9"',
        ),
        ("models: [{name: a, kind: gpu, model: b, near: nvlink}]", "models[0].near", "is not one of"),
        (
            "platforms: [{name: a, kind: gpu, model: b, why: c, cases: [{bus: d, numa: -1}]}]",
            "platforms[0].cases[0].numa",
            "must be a whole number",
        ),
        (
            "platforms: [{name: a, kind: gpu, model: b, why: c, cases: [{bus: d, model: e}]}]",
            "platforms[0].cases[0].model",
            "unknown field",
        ),
        ("levels: [{name: a, labels: []}]", "levels[0].labels", "at least one label"),
        ("levels: [{name: a, labels: [b], oversubscription: 0.5}]", "levels[0].oversubscription", "at least 1"),
        ("levels: [{name: a, labels: [topology.kubernetes.io/zone]}]", "levels", 'is of both "zone" and "a"'),
        ("hierarchies: [[zone, hall]]", "hierarchies[0][1]", 'no level is called "hall"'),
        ("defaults: {staged: 2}", "defaults.staged", "at most 1"),
        ("defaults: {host: pcie9}", "defaults.host", 'no figure is called "pcie9"'),
        ("{}\n---\n{}", "", "must be one document"),
        ("a: b: c", "", "line 1"),
        ("levels: [a]", "levels[0]", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str, reason: str) -> None:
    with pytest.raises(RulesError) as caught:
        read_rules(text, "mine.yaml")
    assert caught.value.field == field
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"mine.yaml: {field}" if field else "mine.yaml: ")
    assert "\n" not in str(caught.value)


def test_the_example_of_the_manual_can_be_read() -> None:
    manual = Path(__file__).parents[2] / "docs" / "topology.md"
    example = manual.read_text("utf-8").split("```yaml\n")[1]
    rules = read_rules(example.split("```")[0], "topology.md")
    npus = [device("npu.example.com", f"n{i}", {"chip": "NPU-7", "address": f"0000:{i}0:00.0"}) for i in (1, 9)]
    wiring = wired(npus, rules)
    assert [one.numa for one in wiring.locations] == [0, 1]
    assert wiring.link(0, 1).gbytes == 100
    assert rules.levels["spine"].oversubscription == 3
