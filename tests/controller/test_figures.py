"""Free devices by driver, class and level; and what a scrape shows of them and of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import builders
from fairlead.controller import Listed, Refused, Seen, Write, Written, device_figures
from fairlead.controller.metrics import Metrics
from fairlead.controller.tally import Tally
from fairlead.placement import Cluster
from fairlead.resource import DeviceClass, DeviceTaintRule, Node, Pod, ResourceClaim, ResourceSlice, decode_hook

RACK = "cloud.provider.com/topology-rack"


def made(kind: Any, given: Mapping[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(given), type=kind, dec_hook=decode_hook)


def claim(name: str, *devices: str, pool: str = "n0", driver: str = builders.DRIVER) -> ResourceClaim:
    results = [{"request": "r", "driver": driver, "pool": pool, "device": one} for one in devices]
    allocation = {"devices": {"results": results}}
    return made(
        ResourceClaim, {"metadata": {"name": name, "namespace": "ml"}, "spec": {}, "status": {"allocation": allocation}}
    )


def cluster(slices: Sequence[Mapping[str, Any]], claims: Sequence[ResourceClaim] = (), rules: Any = ()) -> Cluster:
    """Four nodes, two to a rack, and the class `gpu` that takes the devices of the one driver."""
    nodes = [made(Node, {"metadata": {"name": f"n{at}", "labels": {RACK: f"rack-{at // 2}"}}}) for at in range(4)]
    selector = {"cel": {"expression": f'device.driver == "{builders.DRIVER}"'}}
    classes = [
        made(DeviceClass, {"metadata": {"name": "gpu"}, "spec": {"selectors": [selector]}}),
        made(DeviceClass, {"metadata": {"name": "broken"}, "spec": {"selectors": [{"cel": {"expression": "("}}]}}),
    ]
    return Cluster(nodes, [made(ResourceSlice, one) for one in slices], classes, claims, rules)


def gpus(node: int, *taints: str) -> dict[str, Any]:
    """Two devices on a node; the named ones are tainted."""
    taint = {"key": "bad", "effect": "NoSchedule"}
    members = [
        builders.device(name, taints=[taint]) if name in taints else builders.device(name) for name in ("a", "b")
    ]
    return builders.slice_(members, pool=f"n{node}", nodeName=f"n{node}")


def test_devices_are_held_tainted_or_free() -> None:
    figures = device_figures(cluster([gpus(0), gpus(1, "b"), gpus(2), gpus(3)], [claim("c", "a")]))
    assert figures.by_driver == {
        (builders.DRIVER, "free"): 6,
        (builders.DRIVER, "held"): 1,
        (builders.DRIVER, "tainted"): 1,
        (builders.DRIVER, "short"): 0,
    }
    assert figures.by_class["gpu", "free"] == 6
    assert not any(name == "broken" for name, _ in figures.by_class)


def test_domains_that_are_free_as_a_whole_are_counted_at_every_level() -> None:
    figures = device_figures(cluster([gpus(0), gpus(1, "b"), gpus(2), gpus(3)], [claim("c", "a")]))
    assert figures.free_domains == {("gpu", "node"): 2, ("gpu", "rack"): 1}
    assert figures.most_free == {("gpu", "node"): 2, ("gpu", "rack"): 4}


def test_what_hangs_off_a_fabric_counts_once_and_lies_in_no_domain() -> None:
    figures = device_figures(cluster([builders.slice_("x y z", pool="fabric", allNodes=True)]))
    assert figures.by_class["gpu", "free"] == 3
    assert not figures.free_domains


def test_a_partition_without_counters_left_is_short() -> None:
    whole = builders.device("whole", uses={"card": {"memory": "80Gi"}})
    half = builders.device("half", uses={"card": {"memory": "40Gi"}})
    members = builders.slice_([whole, half], pool="n0", nodeName="n0", name="n0-devices", count=2)
    shared = builders.slice_(
        [],
        pool="n0",
        nodeName="n0",
        name="n0-counters",
        count=2,
        sharedCounters=builders.counters(card={"memory": "80Gi"}),
    )
    figures = device_figures(cluster([members, shared], [claim("c", "half")]))
    assert (figures.by_class["gpu", "held"], figures.by_class["gpu", "short"]) == (1, 1)


def test_the_devices_of_an_incomplete_pool_are_unusable() -> None:
    figures = device_figures(cluster([builders.slice_("a b", pool="n0", nodeName="n0", count=2)]))
    assert figures.by_driver == {(builders.DRIVER, "unusable"): 2}


def test_of_a_pool_that_is_published_anew_the_old_devices_do_not_count() -> None:
    old = builders.slice_("a b", pool="n0", nodeName="n0", name="old")
    new = builders.slice_("a b c", pool="n0", nodeName="n0", name="new", generation=2)
    figures = device_figures(cluster([old, new]))
    assert {state: count for (_, state), count in figures.by_driver.items() if count} == {"free": 3}


def test_a_taint_rule_counts() -> None:
    spec = {"deviceSelector": {"driver": builders.DRIVER}, "taint": {"key": "k", "effect": "NoExecute"}}
    rule = made(DeviceTaintRule, {"metadata": {"name": "r"}, "spec": spec})
    figures = device_figures(cluster([gpus(0)], rules=[rule]))
    assert figures.by_class["gpu", "tainted"] == 2


# What a scrape shows


def shown(metrics: Metrics) -> dict[str, float]:
    """Samples by name and labels, as Prometheus' own parser reads them."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
    }


def pod(version: int, gated: bool = True) -> Pod:
    gates = [{"name": "fairlead.dev/allocation"}] if gated else []
    meta = {"name": "p", "namespace": "ml", "uid": "u", "resourceVersion": str(version)}
    return made(Pod, {"metadata": meta, "spec": {"schedulingGates": gates}})


OPEN = Write("open", "Pod", "ml", "p", "u", 3, [])


def test_a_pod_is_timed_once_whether_the_watch_or_the_answer_says_first_that_it_is_open() -> None:
    metrics = Metrics()
    for first, then in ((Seen("Pod", pod(4, False)), Written(OPEN, pod(4, False))), (Written(OPEN, None), None)):
        metrics.note(Listed("Pod", [pod(3)], 3))
        metrics.sent(OPEN)
        metrics.note(first)
        if then is not None:
            metrics.note(then)
    assert shown(metrics)["fairlead_pod_opened_seconds_count[]"] == 2


def test_a_pod_that_another_has_opened_is_not_timed() -> None:
    metrics = Metrics()
    metrics.note(Listed("Pod", [pod(3)], 3))
    metrics.note(Seen("Pod", pod(4, gated=False)))
    assert shown(metrics)["fairlead_pod_opened_seconds_count[]"] == 0


def test_a_pod_that_a_list_shows_no_more_is_forgotten() -> None:
    metrics = Metrics()
    metrics.note(Listed("Pod", [pod(3)], 3))
    metrics.note(Listed("Pod", [], 9))
    metrics.sent(OPEN)
    metrics.note(Written(OPEN, None))
    assert shown(metrics)["fairlead_pod_opened_seconds_count[]"] == 0


def test_the_lag_of_the_watch_is_from_the_answer_to_the_event() -> None:
    metrics = Metrics()
    metrics.note(Listed("Pod", [pod(3)], 3))
    metrics.note(Written(OPEN, pod(4, gated=False)))
    assert shown(metrics)["fairlead_writes_total['done', 'open']"] == 1
    assert shown(metrics)["fairlead_watch_lag_seconds_count[]"] == 0, "the watch does not show it yet"
    metrics.note(Seen("Pod", pod(4, gated=False)))
    assert shown(metrics)["fairlead_watch_lag_seconds_count[]"] == 1


def test_refusals_are_told_apart() -> None:
    metrics = Metrics()
    for status in (409, 422, 0):
        metrics.note(Refused(OPEN, status, "no"))
    found = shown(metrics)
    for labels in (["conflict", "open"], ["open", "refused"], ["open", "unknown"]):
        assert found[f"fairlead_writes_total{labels}"] == 1
    assert found["fairlead_refusals_total['409']"] == 1


def test_counts_of_the_core_are_added_up() -> None:
    metrics, tally = Metrics(), Tally()
    tally.decisions["pod", "placed"] += 2
    tally.replans["conflict"] += 1
    metrics.count(tally.take())
    metrics.count(tally.take())
    assert shown(metrics)["fairlead_decisions_total['placed', 'pod']"] == 2
    assert shown(metrics)["fairlead_replans_total['conflict']"] == 1


def test_figures_of_devices_are_shown_and_a_class_that_is_gone_is_not() -> None:
    metrics = Metrics()
    metrics.levels.devices = device_figures(cluster([gpus(0), gpus(1)]))
    assert shown(metrics)["fairlead_class_devices['free', 'gpu']"] == 4
    assert shown(metrics)["fairlead_free_domains['gpu', 'node']"] == 2
    metrics.levels.devices = device_figures(Cluster())
    assert not any(name.startswith("fairlead_class_devices") for name in shown(metrics))
