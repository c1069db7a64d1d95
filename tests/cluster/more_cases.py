"""Further objects to hold our validation against the real API server: what is changed in a valid object, no more.

A row says nothing of the outcome: what the API server says of it is the outcome.
"""

from __future__ import annotations

from typing import Any

from validation_cases import CLAIM, CLASS, COUNTERS, DEVICE, GPU, RULE, SLICE, TEMPLATE, sharing

Row = tuple[str, str, Any]

ASKED = f"{GPU}.exactly"
RESULT = "status.allocation.devices.results[0]"
SELECTOR = "status.allocation.nodeSelector.nodeSelectorTerms"
POOL = {"driver": "gpu.example.com", "pool": {"name": "node-1", "generation": 0, "resourceSliceCount": 1}}
HELD = {"driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}

EXPRESSIONS = [
    'device.driver == "x"',
    'device.attributes["gpu.example.com"].a == "x"',
    'device.attributes["gpu.example.com"].a',
    'device.capacity["gpu.example.com"].m.isGreaterThan(quantity("1Gi"))',
    'device.capacity["gpu.example.com"].m > quantity("1Gi")',
    "device.foo == 1",
    "1",
    "(",
    "foo(1)",
    '"a"',
    "",
    "a.b",
    "true && 1",
    "device == 1",
    'device.attributes["x"].v.isGreaterThan(semver("1.0.0"))',
    'semver("1.0") == semver("2.0")',
    "[1,2,3].all(x, [1,2,3].all(y, [1,2,3].all(z, x+y+z > 0)))",
    '["a","b"].map(x, x).exists(x, device.attributes["d"].all(k, k == x))',
    "device.allowMultipleAllocations == true",
    'cel.bind(d, device.attributes["x"], d.a == 1)',
    'device.driver.matches("[")',
    'quantity("1Gi").add(1) == quantity("2")',
    'dyn(1) == "a"',
    'device.attributes["x"].?y.orValue(1) == 1',
    '"a" in device.attributes["x"]',
    'device.attributes["x"].y.includes("a")',
    'isQuantity("x")',
    'ip("1.2.3.4").family() == 4',
    '"abc".substring(1) == "bc"',
    '"%d".format([1]) == "1"',
    "sets.contains([1],[1])",
    "math.greatest(1,2) == 2",
    "has(device.attributes)",
    "device.driver.startsWith(1)",
    'device.attributes["x"].exists(k, device.attributes["x"].exists(j, device.attributes["x"].exists(l, k == j)))',
]


def requests(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": f"r{i}", "exactly": {"deviceClassName": "x", **fields}} for i in range(count)]


CLAIMS: list[Row] = [
    *((CLAIM, f"{ASKED}.selectors", [{"cel": {"expression": text}}]) for text in EXPRESSIONS),
    (CLAIM, "spec", {"devices": {}}),
    (CLAIM, "spec", {"devices": {"requests": requests(32)}}),
    (CLAIM, "spec", {"devices": {"requests": requests(33)}}),
    (CLAIM, f"{ASKED}.count", 0),
    (CLAIM, f"{ASKED}.count", 33),
    (CLAIM, f"{ASKED}.adminAccess", False),
    (CLAIM, f"{GPU}.firstAvailable", [{"name": "a", "deviceClassName": "x"}]),
    (CLAIM, f"{GPU}.name", "g" * 64),
    (CLAIM, "spec.devices.requests[1].name", "gpu"),
    (CLAIM, "spec.devices.requests[1].firstAvailable[1].name", "a"),
    (CLAIM, "spec.devices.requests[1].firstAvailable[0].count", -2),
    (CLAIM, "spec.devices.requests[1].firstAvailable[0].name", "A b"),
    (CLAIM, "spec.devices.requests[1].firstAvailable[0].name", "g" * 64),
    (CLAIM, "spec.devices.requests[1].firstAvailable[0].deviceClassName", "A b"),
    (CLAIM, "spec.devices.constraints", [{"matchAttribute": "a/b"}] * 32),
    (CLAIM, "spec.devices.constraints", [{"matchAttribute": "a/b"}] * 33),
    (CLAIM, "spec.devices.constraints", [{"distinctAttribute": "A/b"}]),
    *(
        (CLAIM, "spec.devices.constraints[0].matchAttribute", name)
        for name in ("", "/a", "a/", "a/b/c", "a/b-c", "A_/b-c", "x" * 70 + "/" + "y" * 40)
    ),
    (CLAIM, "spec.devices.constraints[0].requests", ["nic"]),
    (CLAIM, "spec.devices.constraints[0].requests", ["nic/a/b"]),
    (CLAIM, "spec.devices.constraints[0].requests", [""]),
    (CLAIM, f"{ASKED}.tolerations", [{"operator": "Exists"}] * 16),
    (CLAIM, f"{ASKED}.tolerations", [{"operator": "Exists"}] * 17),
    (CLAIM, f"{ASKED}.tolerations", [{"key": "a", "operator": "Exists", "effect": "Bad"}]),
    (CLAIM, f"{ASKED}.tolerations", [{"operator": "Equal", "value": "b"}]),
    (CLAIM, f"{ASKED}.tolerations", [{"key": "a b", "value": "b c"}]),
    (CLAIM, f"{ASKED}.tolerations", [{"key": "a" * 64, "value": "b" * 64}]),
    (CLAIM, f"{ASKED}.tolerations", [{"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}]),
    (CLAIM, f"{ASKED}.tolerations", [{"key": "a", "value": "b", "effect": "NoSchedule", "tolerationSeconds": 5}]),
    (CLAIM, f"{ASKED}.capacity", {}),
    (CLAIM, f"{ASKED}.capacity", {"requests": {"m": "1Gi", "n": "0"}}),
    (CLAIM, f"{ASKED}.deviceClassName", ""),
    (CLAIM, f"{ASKED}.deviceClassName", "A"),
    (CLAIM, f"{ASKED}.deviceClassName", "a" * 254),
    (CLAIM, "metadata.name", "A"),
    (CLAIM, "metadata.name", "a" * 254),
    (CLAIM, "metadata.labels", {"a": "b c"}),
    (CLAIM, "metadata.labels", {"a" * 64: "x"}),
    (CLAIM, "metadata.labels", {"a": "b" * 64}),
    (CLAIM, "metadata.annotations", {"A b": "x"}),
    (CLAIM, "metadata.annotations", {"A.B/c": "x"}),
    (CLAIM, "metadata.annotations", {"a": "x" * 262144}),
    (CLAIM, "spec.devices.config", [{"opaque": {"driver": "A", "parameters": {}}}]),
    (CLAIM, "spec.devices.config", [{"opaque": {"driver": "a", "parameters": None}}]),
    (CLAIM, "spec.devices.config", [{"opaque": {"driver": "", "parameters": {"a": 1}}}]),
    (CLAIM, "spec.devices.config", [{"opaque": {"driver": "a", "parameters": {"a": 1}}}] * 33),
    (CLAIM, "spec.devices.config[0].requests", ["gpu", "gpu"]),
    (TEMPLATE, "spec.spec.devices.requests[0].exactly.selectors", [{"cel": {"expression": "1"}}]),
    (TEMPLATE, "spec.metadata.labels", {"a": "b c"}),
    (TEMPLATE, "spec.metadata.annotations", {"a b": ""}),
]

SLICES: list[Row] = [
    (SLICE, "spec.nodeName", ""),
    (SLICE, "spec.nodeName", "A b"),
    (SLICE, "spec.nodeName", "n" * 254),
    *(
        (SLICE, "spec", {**POOL, "nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}})
        for expression in (
            {"key": "a", "operator": "In", "values": ["b"]},
            {"key": "a b", "operator": "In", "values": ["b" * 64, "c d"]},
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["b"]},
            {"key": "a", "operator": "Gt", "values": ["1"]},
            {"key": "a", "operator": "Lt", "values": ["1", "2"]},
            {"key": "a", "operator": "Like", "values": ["b"]},
        )
    ),
    (SLICE, "spec.driver", "A"),
    (SLICE, "spec.driver", "a." + "b" * 62),
    (SLICE, "spec.pool.name", ""),
    (SLICE, "spec.pool.name", "a/b.c/d"),
    (SLICE, "spec.pool.name", "A"),
    (SLICE, "spec.devices", []),
    (SLICE, "spec.devices", None),
    (SLICE, f"{DEVICE}.name", ""),
    (SLICE, f"{DEVICE}.name", "a" * 64),
    (SLICE, f"{DEVICE}.name", "A"),
    (SLICE, f"{DEVICE}.capacity.m", {"value": "-1"}),
    (SLICE, f"{DEVICE}.capacity", {"a b": {"value": "1"}}),
    (SLICE, f"{DEVICE}.attributes", {"gpu.example.com/a": {"int": 1}, "a": {"int": 1}}),
    (SLICE, f"{DEVICE}.attributes", {"a/b/c": {"int": 1}}),
    (SLICE, f"{DEVICE}.attributes.a", {"string": ""}),
    (SLICE, f"{DEVICE}.attributes.a", {"version": "v1.0.0"}),
    (SLICE, f"{DEVICE}.attributes.a", {"version": "1.0.0-" + "a" * 64}),
    (SLICE, f"{DEVICE}.attributes.a", {"versions": ["1.0.0", "x"]}),
    (SLICE, f"{DEVICE}.attributes.a", {"strings": ["a", "a"]}),
    (SLICE, f"{DEVICE}.taints", [{"key": "a", "effect": "NoSchedule", "value": "x y"}]),
    (SLICE, f"{DEVICE}.taints", [{"key": "a" * 64, "effect": "NoSchedule", "value": "b" * 64}]),
    (SLICE, f"{DEVICE}.taints", [{"key": "", "effect": "NoSchedule"}]),
    (SLICE, f"{DEVICE}.taints", [{"key": "a", "effect": "NoExecute"}] * 2),
    (SLICE, f"{DEVICE}.taints", [{"key": "a", "effect": "PreferNoSchedule"}]),
    (SLICE, f"{DEVICE}.consumesCounters", [{"counterSet": "s", "counters": {}}]),
    (SLICE, f"{DEVICE}.consumesCounters", [{"counterSet": "s", "counters": {"A": {"value": 1}}}]),
    (SLICE, f"{DEVICE}.consumesCounters", [{"counterSet": "s", "counters": {"a": {"value": -1}}}] * 2),
    (SLICE, f"{DEVICE}.bindsToNode", True),
    *(
        (SLICE, DEVICE, {"name": "a", "bindingConditions": waits, "bindingFailureConditions": failures})
        for waits, failures in ((["a"], ["b"]), (["a b"], ["b"]), (["a" * 64], ["b"]), (list("abcde"), ["f", "f"]))
    ),
    *(
        (SLICE, DEVICE, sharing(policy))
        for policy in (
            {},
            {"default": "1Gi"},
            {"default": "20Gi"},
            {"default": "1Gi", "validValues": ["1Gi"], "validRange": {"min": "1Gi"}},
            {"validRange": {"min": "1Gi"}},
            {"default": "1Gi", "validRange": {"max": "2Gi"}},
            {"default": "1Gi", "validRange": {"min": "1Gi", "max": "512Mi"}},
            {"default": "1Gi", "validRange": {"min": "0", "step": "0"}},
            {"default": "1Gi", "validRange": {"min": "1Gi", "max": "20Gi"}},
            {"default": "1Gi", "validValues": ["1Gi", "1Gi"]},
        )
    ),
    *((SLICE, "spec.partitionTypeAttribute", name) for name in ("a", "a/", "A/b", "gpu.example.com/a")),
    (COUNTERS, "spec.sharedCounters", []),
    (COUNTERS, "spec.sharedCounters", [{"name": "a", "counters": {"m": {"value": 1}}}] * 2),
    (COUNTERS, "spec.sharedCounters[0].name", ""),
    (COUNTERS, "spec.sharedCounters[0].name", "A"),
    (COUNTERS, "spec.sharedCounters[0].name", "s" * 64),
    (COUNTERS, "spec.sharedCounters[0].counters", {"A b": {"value": 1}}),
]

OTHERS: list[Row] = [
    (CLASS, "metadata.name", "a_b"),
    (CLASS, "metadata.name", "c" * 254),
    (CLASS, "spec", {}),
    (CLASS, "spec.selectors", [{"cel": {"expression": "device.x"}}]),
    (CLASS, "spec.config", [{"opaque": {"driver": "a", "parameters": {"a": 1}}}]),
    (CLASS, "spec.config", [{}]),
    *(
        (CLASS, "spec.extendedResourceName", name)
        for name in ("", "requests.x/y", "a b/c d", "example.com/" + "a" * 64, "a/b/c")
    ),
    (RULE, "spec.taint.effect", "Bad"),
    (RULE, "spec.taint.effect", None),
    (RULE, "spec.taint.value", "b" * 64),
    (RULE, "spec.taint.key", "b" * 64),
    (RULE, "spec.deviceSelector", {"driver": "A", "pool": "a//b", "device": "b" * 64}),
    (RULE, "spec.deviceSelector", {}),
    (RULE, "spec.deviceSelector", None),
]

STATUSES: list[Row] = [
    (CLAIM, f"{RESULT}.device", "A"),
    (CLAIM, f"{RESULT}.shareID", "x"),
    (CLAIM, f"{RESULT}.consumedCapacity", {"m": "1"}),
    (CLAIM, "status.reservedFor", [{"resource": "pods", "name": "p", "uid": "1"}] * 2),
    (CLAIM, "status.reservedFor[0].name", ""),
    (CLAIM, "status.reservedFor[0].resource", ""),
    (CLAIM, "status.reservedFor[0].uid", "u" * 300),
    (CLAIM, "status.reservedFor[0].apiGroup", "A"),
    (CLAIM, "status.devices", [HELD]),
    (CLAIM, "status.devices", [HELD] * 2),
    (
        CLAIM,
        "status.allocation.devices.config",
        [{"source": "X", "opaque": {"driver": "a", "parameters": {"a": 1}}}],
    ),
    (CLAIM, SELECTOR, []),
    (CLAIM, SELECTOR, [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b" * 64]}]}]),
    (CLAIM, f"{SELECTOR}[0].matchFields[0].values", ["A b"]),
    (CLAIM, f"{SELECTOR}[0].matchFields[0].operator", "Exists"),
]

MORE = [*CLAIMS, *SLICES, *OTHERS, *STATUSES]

UNREADABLE: list[Row] = [
    (CLAIM, f"{ASKED}.count", "1"),
    (CLAIM, f"{ASKED}.count", 1.5),
    (CLAIM, f"{ASKED}.capacity", {"requests": {"m": "abc"}}),
    (CLAIM, f"{ASKED}.bogus", 1),
    (CLAIM, "spec.devices.requests[1].firstAvailable[0].adminAccess", True),
    (SLICE, f"{DEVICE}.capacity.m", {"value": "1x"}),
    (SLICE, f"{DEVICE}.attributes.a", {"int": 2**63}),
    (SLICE, f"{DEVICE}.attributes.a", {"float": 1}),
    (CLASS, "spec.suitableNodes", {}),
]
"""What the API server does not even decode; it says so in Go's words, and without a list of fields."""

DIFFERENT: list[tuple[str, str, Any, str]] = [
    (CLAIM, f"{ASKED}.adminAccess", True, "only the API server sees the label of the namespace"),
    (
        CLAIM,
        "spec.devices.constraints[0].matchAttribute",
        None,
        "the API server says that multiple fields are set when none is",
    ),
    (
        CLAIM,
        "spec.devices.constraints[0].distinctAttribute",
        "a/b",
        "the API server accepts both attributes in one constraint; kube-scheduler then heeds the first",
    ),
    (CLAIM, f"{ASKED}.capacity", {"requests": {"m-x": "1Gi"}}, "accepted, though no device can have such a capacity"),
    (SLICE, f"{DEVICE}.capacity.m", {}, "a missing quantity is zero to the API server, a mistake to us"),
    (COUNTERS, "spec.sharedCounters[0].counters.memory", {}, "the same"),
    (SLICE, f"{DEVICE}.attributes.a", {"bools": [True], "ints": []}, "the API server reports a list and a union twice"),
    (
        SLICE,
        DEVICE,
        sharing({"default": "1", "validValues": [str(i) for i in range(1, 12)]}),
        "the API server goes on after too many valid values, and finds the default not among them",
    ),
    (
        CLAIM,
        "status.devices",
        [{**HELD, "networkData": {"ips": ["10.0.0.1"]}}],
        "we do not check addresses of devices",
    ),
    (
        CLAIM,
        "status.devices",
        [{**HELD, "conditions": [{"type": "x", "status": "Yes"}]}],
        "we do not check conditions of devices",
    ),
    (CLAIM, f"{ASKED}.selectors", [{"cel": {"expression": "x" * 300}}], "we show long values shortened"),
]
"""Where we differ, and why; a row that no longer differs is to go."""
