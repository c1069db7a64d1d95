"""What is seen of controllers on a real control plane: metrics, probes, and the log of one pod.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_controller import bound, nodes, pod, template
from test_election import plane, replicas

from kube import ControlPlane, add_cluster
from kube.api import wait_for

pytestmark = pytest.mark.cluster
__all__ = ["plane"]


def get(address: str, path: str) -> tuple[int, str]:
    """Status and text of an answer; status 0 where nobody listens."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()


def scraped(address: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Samples by name and sorted label values."""
    status, text = get(address, "/metrics")
    assert status == 200
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.values()))): sample.value for sample in samples}


def test_metrics_and_probes_of_a_leader_and_of_one_that_waits(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("seen")
    add_cluster(api, nodes(2, "seen"))
    for count in (1, 9):
        api.create(template(namespace, "seen", count))
    with replicas(plane, "seen") as start:
        leader = start("leader", "--listen", "127.0.0.1:0")
        leader.until("leading")
        waiting = start("waiting", "--listen", "127.0.0.1:0")
        waiting.until("standing by")
        first, second = (one.events("listening")[0]["address"] for one in (leader, waiting))
        for address in (first, second):
            wait_for(lambda at=address: get(at, "/readyz")[0] == 200, 30, f"{address} to be ready")
            assert get(address, "/healthz") == (200, "ok\n")
        made = [pod(namespace, f"p-{number}", "seen-1") for number in range(3)]
        made += [pod(namespace, "too-large", "seen-9")]
        api.create_all(made)
        wait_for(lambda: len(bound(api, namespace)) == 3 and leader.events("told"), 40, "all to be bound but one")
        name = ("fairlead_class_devices", ("free", "seen"))
        scraped(first)
        wait_for(lambda: name in scraped(first), 10, "the devices to be counted")
        found = scraped(first)
        assert found["fairlead_leader", ()] == 1
        assert found["fairlead_decisions_total", ("placed", "pod")] == 3
        assert found["fairlead_decisions_total", ("pod", "waiting")] >= 1
        assert found["fairlead_pod_opened_seconds_count", ()] == 3
        assert found["fairlead_writes_total", ("done", "open")] == 3
        assert found["fairlead_pending_pods", ("no room",)] == 1
        assert found[name] == 13
        assert found["fairlead_class_devices", ("held", "seen")] == 3
        assert found["fairlead_free_domains", ("node", "seen")] == 1
        assert found["fairlead_watch_lag_seconds_count", ()] > 0
        assert found["process_resident_memory_bytes", ()] > 0
        idle = scraped(second)
        assert idle["fairlead_leader", ()] == 0
        assert sum(value for (sample, _), value in idle.items() if sample == "fairlead_writes_total") == 0
        assert leader.stop() == 0
        waiting.until("leading")
        assert scraped(second)["fairlead_leader", ()] == 1


def test_one_pod_can_be_followed_through_the_log(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("followed")
    add_cluster(api, nodes(1, "foll"))
    api.create(template(namespace, "foll", 1))
    with replicas(plane, "followed") as start:
        replica = start("only")
        replica.until("leading")
        api.create(pod(namespace, "one", "foll-1"))
        wait_for(lambda: bound(api, namespace), 30, "the pod to be bound")
        opened = replica.events("opened")[-1]
        assert opened["object"] == f"Pod {namespace}/one"
        lines: list[dict[str, Any]] = [json.loads(line) for line in replica.log.read_text().splitlines()]
        about = [line["event"] for line in lines if line.get("units") == opened["units"]]
        assert about == ["protected", "allocated", "opened"]
        decisions = [line["decision"] for line in lines if line["event"] == "decided"]
        assert opened["decision"] in decisions
        assert {line["level"] for line in lines} == {"info"}
        assert "eyJ" not in replica.log.read_text(), "no token"
        assert replica.stop() == 0
