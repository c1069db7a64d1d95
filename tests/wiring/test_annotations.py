"""The annotations of pods: what they choose and join, and how what is wrong with them is said."""

from __future__ import annotations

from typing import Any

import msgspec
import places
import pytest
from wired import GPUS, NICS, ROOT, RULES, gpu, nic, slices

from builders import request
from fairlead.placement import Plan, plan
from fairlead.placement.wiring import COMPACT, SPREAD, WishError, wishes
from fairlead.resource import PlannedPod, Pod, ResourceClaim

DEVICES = "fairlead.dev/devices"
CONSTRAINTS = "fairlead.dev/constraints"


def pod(name: str = "pod", **annotations: str) -> Pod:
    made = places.pod(name)
    notes = {f"fairlead.dev/{key}": value for key, value in annotations.items()}
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, annotations=notes))


def asked(name: str, *requests: Any, policy: str = "", **fields: Any) -> ResourceClaim:
    made = places.claim(name, *requests, **fields)
    notes = {DEVICES: policy} if policy else {}
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, annotations=notes))


def pair_of(made: Pod, **policies: str) -> PlannedPod:
    """A pod with a claim for a GPU and a claim for a NIC."""
    claims = [
        asked("gpus", request("gpu", 1, device_class="gpus"), policy=policies.get("gpus", "")),
        asked("nics", request("nic", 1, device_class="nics"), policy=policies.get("nics", "")),
    ]
    return places.planned(made, *claims)


def cluster(*devices: Any, **fields: Any) -> Any:
    classes = [
        {"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{driver}"'}}]}}
        for name, driver in (("gpus", GPUS), ("nics", NICS))
    ]
    return places.cluster([places.node("node-1")], slices(*devices), classes=classes, **fields)


UNLIKE = (
    gpu("gpu-0", numa=0, root="a"),
    gpu("gpu-1", numa=1, root="b"),
    nic("nic-0", numa=1, root="b"),
    nic("nic-1", numa=1, root="c"),
)


def placed(planned: PlannedPod, *devices: Any, **fields: Any) -> Plan:
    return plan(cluster(*(devices or UNLIKE), **fields), [planned], rules=RULES)


def test_a_pod_chooses_the_policy() -> None:
    result = placed(pair_of(pod(devices="compact")))
    assert places.devices_of(result) == [["gpu-1", "nic-0"]]
    choice = result.placements[0].choice
    assert choice is not None
    assert (choice.policy, choice.proven) == ("compact", True)
    assert placed(pair_of(pod())).placements[0].choice is None
    assert places.devices_of(placed(pair_of(pod()))) == [["gpu-0", "nic-0"]]


def test_a_claim_chooses_for_its_pod_and_the_pod_goes_first() -> None:
    assert wishes(pair_of(pod(), nics="compact")).policy is COMPACT
    assert wishes(pair_of(pod(devices="spread"), gpus="compact")).policy is SPREAD
    with pytest.raises(WishError, match=r'claim "gpus" of the same pod asks for compact') as caught:
        wishes(pair_of(pod(), gpus="compact", nics="spread"))
    (problem,) = caught.value.problems
    assert problem.object == 'ResourceClaim "ml/nics"'
    assert problem.field == f"metadata.annotations[{DEVICES}]"


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        (f'[{{"matchAttribute": "{ROOT}", "requests": ["gpus/gpu", "nics/nic"]}}]', ["gpu-1", "nic-0"]),
        (f"- matchAttribute: {ROOT}\n  requests: [gpus/gpu, nics/nic]\n", ["gpu-1", "nic-0"]),
        (f"- distinctAttribute: {ROOT}\n- matchTopology: numa\n", ["gpu-1", "nic-1"]),
        ("[{distinctTopology: root}]", ["gpu-0", "nic-0"]),
        ("[{matchTopology: root}]", ["gpu-1", "nic-0"]),
        ("[]", ["gpu-0", "nic-0"]),
    ],
)
def test_constraints_join_claims(text: str, devices: list[str]) -> None:
    assert places.devices_of(placed(pair_of(pod(constraints=text)))) == [devices]
    result = placed(pair_of(pod(constraints=text, devices="compact")))
    assert len(places.devices_of(result)[0]) == 2
    if "match" in text:
        assert places.devices_of(result) == [devices]


def test_a_node_that_only_a_constraint_excludes_says_so() -> None:
    far = (gpu("gpu-0", numa=0, root="a"), nic("nic-0", numa=1, root="b"))
    result = placed(pair_of(pod(constraints="[{matchTopology: numa}, {distinctTopology: root}]")), *far)
    assert places.reasons(result) == [
        "1 node (node-1): annotation fairlead.dev/constraints[0] (matchTopology numa): the claims fit here without it, "
        "the free devices do not satisfy it"
    ]


def test_devices_that_a_claim_has_already_count() -> None:
    held = asked("gpus", request("gpu", 1, device_class="gpus"), status=places.allocation("gpu-1", driver=GPUS))
    free = asked("nics", request("nic", 1, device_class="nics"))
    near = places.planned(pod(constraints="[{matchTopology: root}]"), held, free)
    assert places.devices_of(placed(near, claims=[held])) == [["gpu-1", "nic-0"]]
    apart = places.planned(pod(constraints="[{distinctTopology: root}]"), held, free)
    assert places.devices_of(placed(apart, claims=[held])) == [["gpu-1", "nic-1"]]


def test_devices_that_break_a_constraint_already_keep_the_pod_out() -> None:
    gpus = asked("gpus", request("gpu", 1, device_class="gpus"), status=places.allocation("gpu-0", driver=GPUS))
    nics = asked("nics", request("nic", 1, device_class="nics"), status=places.allocation("nic-0", driver=NICS))
    nics = msgspec.structs.replace(
        nics, status=places.claim("x", status=places.allocation("nic-0", driver=NICS)).status
    )
    both = places.planned(pod(constraints="[{matchTopology: numa}]"), _named(gpus, "gpu"), _named(nics, "nic"))
    result = placed(both, claims=[used.claim for used in both.claims])
    assert not result.complete
    assert "the devices that the pod's claims have already break it" in places.reasons(result)[0]


def _named(claim: ResourceClaim, name: str) -> ResourceClaim:
    """The claim with its devices given for the request of that name."""
    allocation = claim.status.allocation
    assert allocation is not None
    results = [msgspec.structs.replace(one, request=name) for one in allocation.devices.results]
    devices = msgspec.structs.replace(allocation.devices, results=results)
    changed = msgspec.structs.replace(allocation, devices=devices)
    return msgspec.structs.replace(claim, status=msgspec.structs.replace(claim.status, allocation=changed))


BAD = [
    ("{a: [}", "", "must be a list in JSON or YAML: line 1"),
    ("3", "", "must be a list of constraints"),
    ("[3]", "[0]", "Invalid value: 3: must be an object"),
    ("[{}]", "[0]", "Required value: exactly one of matchAttribute, distinctAttribute, matchTopology or"),
    ("[{matchTopology: numa, distinctTopology: root}]", "[0]", "but multiple fields are set"),
    ("[{matchTopology: nume}]", "[0].matchTopology", 'Unsupported value: "nume": supported values: "numa", "switch"'),
    ("[{matchAttribute: root}]", "[0].matchAttribute", "a fully qualified name must be a domain and a name"),
    ("[{matchAttribute: 3}]", "[0].matchAttribute", "Invalid value: 3: must be a string"),
    ("[{matchTopology: numa, request: []}]", "[0]", 'unknown field "request"'),
    ("[{matchTopology: numa, requests: x}]", "[0].requests", "must be a list of strings"),
    ("[{matchTopology: numa, requests: [gpu]}]", "[0].requests[0]", "must be the name that the pod has for a claim"),
    ("[{matchTopology: numa, requests: [a/gpu]}]", "[0].requests[0]", "the pod has no claim a, it has: gpus, nics"),
    ("[{matchTopology: numa, requests: [gpus/b]}]", "[0].requests[0]", "claim gpus has the requests: gpu"),
    ("[{matchTopology: numa, requests: [gpus/gpu, gpus/gpu]}]", "[0].requests[1]", 'Duplicate value: "gpus/gpu"'),
    (f"[{', '.join(['{matchTopology: numa}'] * 33)}]", "", "Too many: 33: must have at most 32 items"),
]


@pytest.mark.parametrize(("text", "field", "reason"), BAD)
def test_bad_constraints(text: str, field: str, reason: str) -> None:
    with pytest.raises(WishError) as caught:
        wishes(pair_of(pod(constraints=text)))
    (problem,) = caught.value.problems
    assert problem.object == 'Pod "ml/pod"'
    assert problem.field == f"metadata.annotations[{CONSTRAINTS}]{field}"
    assert reason in problem.reason
    assert reason in places.reasons(placed(pair_of(pod(constraints=text))))[0]


def test_bad_policy() -> None:
    with pytest.raises(
        WishError, match='Unsupported value: "fast": supported values: "first-fit", "compact", "spread"'
    ):
        wishes(pair_of(pod(devices="fast")))


def test_observers_cannot_be_constrained() -> None:
    watch = asked("watch", request("gpu", 1, device_class="gpus", adminAccess=True))
    with pytest.raises(WishError, match="Forbidden: a request with admin access takes no devices"):
        wishes(places.planned(pod(constraints="[{matchTopology: numa, requests: [watch/gpu]}]"), watch))


def test_everything_that_is_wrong_is_said() -> None:
    with pytest.raises(WishError) as caught:
        wishes(pair_of(pod(constraints="[{matchTopology: x}, {}, 3]", devices="fast")))
    assert len(caught.value.problems) == 4
