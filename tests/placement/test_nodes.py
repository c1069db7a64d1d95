"""What a node allows, devices aside; each rule of kube-scheduler's filters with a yes and a no."""

from __future__ import annotations

import pytest
from places import container, node, pod, refusal

from fairlead.resource import Node, Pod


def affinity(*terms: dict[str, object]) -> dict[str, object]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"nodeAffinity": required}


def expression(key: str, operator: str, *values: str) -> dict[str, object]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


GPU_TAINT = "nvidia.com/gpu=present:NoSchedule"

TAKEN: dict[str, tuple[Node, Pod]] = {
    "a node that says nothing has room for everything": (node("a"), pod("p", container(cpu="999", memory="9Ti"))),
    "exactly enough is enough": (node("a", cpu="4", memory="1Gi"), pod("p", container(cpu="4", memory="1Gi"))),
    "what a node does not say it is not short of": (node("a", cpu="4"), pod("p", container(memory="9Ti"))),
    "a tolerated taint": (
        node("a", taints=[GPU_TAINT]),
        pod("p", tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]),
    ),
    "a taint tolerated by value": (
        node("a", taints=[GPU_TAINT]),
        pod("p", tolerations=[{"key": "nvidia.com/gpu", "value": "present"}]),
    ),
    "everything tolerated": (node("a", taints=["x:NoExecute"]), pod("p", tolerations=[{"operator": "Exists"}])),
    "a taint that is only a preference": (node("a", taints=["x:PreferNoSchedule"]), pod()),
    "a cordon that is tolerated": (
        node("a", cordoned=True),
        pod("p", tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
    ),
    "a label that is selected": (node("a", {"disk": "ssd"}), pod("p", nodeSelector={"disk": "ssd"})),
    "the hostname label that every node has": (node("a"), pod("p", nodeSelector={"kubernetes.io/hostname": "a"})),
    "one of two affinity terms": (
        node("a", {"zone": "b"}),
        pod("p", affinity=affinity(expression("zone", "In", "a"), expression("zone", "NotIn", "c"))),
    ),
    "the name as a field": (
        node("a"),
        pod(
            "p",
            affinity=affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}),
        ),
    ),
    "an extended resource that a device plugin offers": (
        node("a", nvidia_com__gpu="8"),
        pod("p", container(**{"nvidia.com/gpu": "8"})),
    ),
}


@pytest.mark.parametrize(("on", "wanted"), TAKEN.values(), ids=TAKEN)
def test_a_node_takes(on: Node, wanted: Pod) -> None:
    assert refusal(on, wanted) == ""


REFUSED: dict[str, tuple[Node, Pod, str]] = {
    "too small": (
        node("a", cpu="4"),
        pod("p", container(cpu="5")),
        "the node is too small: 5 cpu wanted, more than it has in all",
    ),
    "a cordon": (node("a", cordoned=True), pod(), "the node is cordoned (spec.unschedulable)"),
    "a taint": (
        node("a", taints=[GPU_TAINT]),
        pod(),
        "the pod does not tolerate the node taint nvidia.com/gpu=present:NoSchedule",
    ),
    "a taint tolerated for another effect": (
        node("a", taints=["x:NoExecute"]),
        pod("p", tolerations=[{"key": "x", "operator": "Exists", "effect": "NoSchedule"}]),
        "the pod does not tolerate the node taint x:NoExecute",
    ),
    "a missing label": (
        node("a"),
        pod("p", nodeSelector={"disk": "ssd"}),
        "the pod's nodeSelector wants the node label disk=ssd",
    ),
    "affinity to other labels": (
        node("a", {"zone": "a"}),
        pod("p", affinity=affinity(expression("zone", "In", "b", "c"))),
        "the pod's node affinity wants zone In [b, c]",
    ),
    "an affinity term that says nothing selects nothing": (
        node("a"),
        pod("p", affinity=affinity({})),
        "the pod's node affinity wants nothing",
    ),
    "an extended resource that the node does not have": (
        node("a", cpu="8"),
        pod("p", container(**{"nvidia.com/gpu": "1"})),
        "the node is too small: 1 nvidia.com/gpu wanted, more than it has in all",
    ),
    "another node's name": (node("a"), pod("p", nodeName="b"), "the pod names another node (spec.nodeName: b)"),
}


@pytest.mark.parametrize(("on", "wanted", "text"), REFUSED.values(), ids=REFUSED)
def test_a_node_refuses(on: Node, wanted: Pod, text: str) -> None:
    assert refusal(on, wanted) == text


BESIDE: dict[str, tuple[Node, Pod, Pod, str]] = {
    "what others use is not there": (
        node("a", cpu="4"),
        pod("p", container(cpu="2")),
        pod("q", container(cpu="3")),
        "too little cpu left: 2 wanted",
    ),
    "the number of pods is limited": (node("a", pods="1"), pod("p"), pod("q"), "the node has as many pods as it may"),
    "a host port is there once": (
        node("a"),
        pod("p", container(port=8080)),
        pod("q", container(port=8080)),
        "host port 8080/TCP is taken by another pod",
    ),
    "other ports do not matter": (node("a"), pod("p", container(port=80)), pod("q", container(port=81)), ""),
}


@pytest.mark.parametrize(("on", "wanted", "other", "text"), BESIDE.values(), ids=BESIDE)
def test_beside_another_pod(on: Node, wanted: Pod, other: Pod, text: str) -> None:
    assert refusal(on, wanted, other) == text
