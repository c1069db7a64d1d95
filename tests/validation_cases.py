"""The API server's rules, one row a rule: what is changed in a valid object, and what is said of it.

Our validation is held against the rows in tests/resource, the real API server in tests/cluster.
"""

from __future__ import annotations

import copy
from typing import Any

from fairlead.resource import parse_yaml

SLICE = """
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: s}
spec:
  driver: gpu.example.com
  nodeName: node-1
  pool: {name: node-1, generation: 0, resourceSliceCount: 1}
  devices:
  - name: gpu-0
    attributes: {a: {string: x}, v: {version: 1.0.0-rc.1+build}, example.com/b: {bool: true}}
    capacity: {m: {value: 10Gi}}
"""
COUNTERS = """
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: s}
spec:
  driver: gpu.example.com
  allNodes: true
  pool: {name: rack/1, generation: 0, resourceSliceCount: 1}
  sharedCounters: [{name: set-0, counters: {memory: {value: 10Gi}}}]
"""
CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: c, namespace: ns}
spec:
  devices:
    requests:
    - name: gpu
      exactly: {deviceClassName: gpu.example.com, selectors: [{cel: {expression: "true"}}]}
    - name: nic
      firstAvailable: [{name: a, deviceClassName: nic.example.com}, {name: b, deviceClassName: nic.example.com}]
    constraints: [{requests: [gpu, nic/a], matchAttribute: example.com/root}]
    config: [{requests: [gpu], opaque: {driver: gpu.example.com, parameters: {kind: X}}}]
status:
  allocation:
    devices:
      results:
      - {request: gpu, driver: gpu.example.com, pool: node-1, device: gpu-0}
      - {request: nic/a, driver: nic.example.com, pool: node-1, device: nic-0}
    nodeSelector:
      nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [node-1]}]}]
  reservedFor: [{resource: pods, name: p, uid: "1"}]
"""
CLASS = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.example.com}
spec: {selectors: [{cel: {expression: "true"}}], extendedResourceName: example.com/gpu}
"""
RULE = """
apiVersion: resource.k8s.io/v1
kind: DeviceTaintRule
metadata: {name: r}
spec: {deviceSelector: {driver: gpu.example.com}, taint: {key: example.com/broken, effect: NoExecute}}
"""
TEMPLATE = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: t, namespace: ns}
spec: {metadata: {labels: {a: b}}, spec: {devices: {requests: [{name: g, exactly: {deviceClassName: gpu}}]}}}
"""

DEVICE = "spec.devices[0]"
GPU = "spec.devices.requests[0]"
ONE_OF_NODES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def attributes(count: int, value: Any = None) -> dict[str, Any]:
    return {f"a{index}": value or {"int": index} for index in range(count)}


def devices(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"name": f"gpu-{index}", **more} for index in range(count)]


def sharing(policy: dict[str, Any], **more: Any) -> dict[str, Any]:
    capacity = {"m": {"value": "10Gi", "requestPolicy": policy}}
    return {"name": "gpu-0", "allowMultipleAllocations": True, "capacity": capacity, **more}


# base object, path of what is replaced (None deletes), new value, field and reason of the one problem.
RULES: list[tuple[str, str, Any, str, str]] = [
    (SLICE, "metadata.name", "A", "metadata.name", 'Invalid value: "A": a lowercase RFC 1123 subdomain must consist'),
    (SLICE, "metadata.name", "", "metadata.name", "Required value: name or generateName is required"),
    (SLICE, "metadata.labels", {"a b": "x"}, "metadata.labels", 'Invalid value: "a b": name part must consist'),
    (SLICE, "spec.driver", "", "spec.driver", "Required value"),
    (SLICE, "spec.driver", "a" * 64, "spec.driver", "Too long: may not be more than 63 bytes"),
    (SLICE, "spec.driver", "a_b", "spec.driver", 'Invalid value: "a_b": a lowercase RFC 1123 subdomain'),
    (SLICE, "spec.pool.name", "a//b", "spec.pool.name", 'Invalid value: "": a lowercase RFC 1123 subdomain'),
    (SLICE, "spec.pool.name", "/".join(["a" * 50] * 6), "spec.pool.name", "Too long: may not be more than 253 bytes"),
    (SLICE, "spec.pool.generation", -1, "spec.pool.generation", "Invalid value: -1: must be greater than or equal"),
    (SLICE, "spec.pool.resourceSliceCount", 0, "spec.pool.resourceSliceCount", "Invalid value: 0: must be greater"),
    (SLICE, "spec.nodeName", None, "spec", f"Required value: {ONE_OF_NODES}"),
    (SLICE, "spec.allNodes", True, "spec", f'Invalid value: "{{`nodeName`, `allNodes`}}": {ONE_OF_NODES}, but'),
    (SLICE, "spec.allNodes", False, "spec.allNodes", "Invalid value: false: must be either unset or set to true"),
    (SLICE, "spec.devices", devices(129), "spec.devices", "Too many: 129: must have at most 128 items"),
    (
        SLICE,
        "spec.devices",
        devices(65, taints=[{"key": "a", "effect": "NoSchedule"}]),
        "spec.devices",
        "Too many: 65: must have at most 64 items",
    ),
    (
        SLICE,
        "spec.devices",
        devices(65, attributes={"a": {"ints": [1]}}),
        "spec.devices",
        "Too many: 65: must have at most 64 items",
    ),
    (SLICE, "spec.devices", devices(1) + devices(1), "spec.devices[1]", 'Duplicate value: "gpu-0"'),
    (SLICE, f"{DEVICE}.name", "gpu.0", f"{DEVICE}.name", 'Invalid value: "gpu.0": must not contain dots'),
    (SLICE, f"{DEVICE}.attributes", attributes(32), DEVICE, "Invalid value: 33: the total number of attributes and"),
    (
        SLICE,
        f"{DEVICE}.attributes",
        attributes(7, {"ints": [1, 2, 3, 4, 5, 6, 7]}),
        DEVICE,
        "Invalid value: 49: the total number of attribute values must not exceed 48",
    ),
    (SLICE, f"{DEVICE}.attributes.a", {"string": "x" * 65}, f"{DEVICE}.attributes[a].string", "Too long: may not be"),
    (SLICE, f"{DEVICE}.attributes.a", {"string": "é" * 33}, f"{DEVICE}.attributes[a].string", "Too long: may not be"),
    (
        SLICE,
        f"{DEVICE}.attributes.a",
        {"version": "1.0"},
        f"{DEVICE}.attributes[a].version",
        'Invalid value: "1.0": must be a string compatible with semver.org spec 2.0.0',
    ),
    (SLICE, f"{DEVICE}.attributes.a", {}, f"{DEVICE}.attributes[a]", 'Invalid value: "": must specify one of: `int`, '),
    (
        SLICE,
        f"{DEVICE}.attributes.a",
        {"int": 1, "bool": True},
        f"{DEVICE}.attributes[a]",
        'Invalid value: "{int, bool}": must specify exactly one of: `int`, `bool`, `string`, `version`, `ints`, ',
    ),
    (SLICE, f"{DEVICE}.attributes.a", {"strings": []}, f"{DEVICE}.attributes[a].strings", "Invalid value: []: must"),
    (SLICE, f"{DEVICE}.attributes", {"a-b": {"int": 1}}, f"{DEVICE}.attributes", 'Invalid value: "a-b": a valid C'),
    (
        SLICE,
        f"{DEVICE}.attributes",
        {"a" * 33: {"int": 1}},
        f"{DEVICE}.attributes",
        "Too long: may not be more than 32",
    ),
    (SLICE, f"{DEVICE}.attributes", {"/a": {"int": 1}}, f"{DEVICE}.attributes", 'Invalid value: "": the domain must'),
    (SLICE, f"{DEVICE}.taints", [{"key": "a", "effect": "Maybe"}], f"{DEVICE}.taints[0].effect", "Unsupported value: "),
    (SLICE, f"{DEVICE}.taints", [{"key": "a"}], f"{DEVICE}.taints[0].effect", "Required value"),
    (
        SLICE,
        f"{DEVICE}.taints",
        [{"key": "a", "effect": "None"}] * 17,
        f"{DEVICE}.taints",
        "Too many: 17: must have at most 16 items",
    ),
    (
        SLICE,
        f"{DEVICE}.consumesCounters",
        [{"counterSet": f"set-{i}", "counters": {"m": {"value": 1}}} for i in range(3)],
        f"{DEVICE}.consumesCounters",
        "Too many: 3: must have at most 2 items",
    ),
    (
        SLICE,
        f"{DEVICE}.consumesCounters",
        [{"counterSet": "", "counters": {"m": {"value": 1}}}],
        f"{DEVICE}.consumesCounters[0].counterSet",
        "Required value",
    ),
    (SLICE, f"{DEVICE}.nodeName", "n", DEVICE, "Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can"),
    (
        SLICE,
        f"{DEVICE}.bindingConditions",
        ["a"],
        f"{DEVICE}.bindingFailureConditions",
        "Invalid value: null: bindingFailureConditions are required to use bindingConditions",
    ),
    (
        SLICE,
        DEVICE,
        {"name": "a", "bindingConditions": ["a"], "bindingFailureConditions": ["a"]},
        f"{DEVICE}.bindingFailureConditions[0]",
        'Invalid value: "a": bindingFailureConditions must not overlap with bindingConditions',
    ),
    (
        SLICE,
        DEVICE,
        sharing({"default": "1Gi"}, allowMultipleAllocations=False),
        f"{DEVICE}.capacity[m].requestPolicy",
        "Forbidden: allowMultipleAllocations must be true",
    ),
    (
        SLICE,
        DEVICE,
        sharing({"validValues": ["1Gi"]}),
        f"{DEVICE}.capacity[m].requestPolicy.default",
        "Required value: required when validValues is defined",
    ),
    (
        SLICE,
        DEVICE,
        sharing({"default": "1Gi", "validValues": ["2Gi"]}),
        f"{DEVICE}.capacity[m].requestPolicy.validValues",
        'Invalid value: "1Gi": default value is not valid according to the requestPolicy',
    ),
    (
        SLICE,
        DEVICE,
        sharing({"default": "1Gi", "validValues": ["1Gi", "11Gi"]}),
        f"{DEVICE}.capacity[m].requestPolicy.validValues[1]",
        'Invalid value: "11Gi": option is larger than capacity value: 10Gi',
    ),
    (
        SLICE,
        DEVICE,
        sharing({"default": "1Gi", "validValues": ["2Gi", "1Gi"]}),
        f"{DEVICE}.capacity[m].requestPolicy.validValues[1]",
        'Invalid value: "1Gi": values must be sorted in ascending order',
    ),
    (
        SLICE,
        DEVICE,
        sharing({"default": "1Gi", "validRange": {"min": "1Gi", "step": "3Gi", "max": "6Gi"}}),
        f"{DEVICE}.capacity[m].requestPolicy.validRange.step",
        'Invalid value: "6Gi": value is not a multiple of a given step (3Gi) from (1Gi)',
    ),
    (
        SLICE,
        DEVICE,
        sharing({"default": "1Gi", "validRange": {"min": "2Gi"}}),
        f"{DEVICE}.capacity[m].requestPolicy.validRange.default",
        'Invalid value: "1Gi": default is less than min: 2Gi',
    ),
    (SLICE, "spec.skipNodeOperations", ["NodePrepareResources"], "spec.skipNodeOperations", "Invalid value: ["),
    (SLICE, "spec.skipNodeOperations", ["Everything"], "spec.skipNodeOperations[0]", 'Unsupported value: "Everything"'),
    (SLICE, "spec.partitionTypeAttribute", "a.b/c", "spec.partitionTypeAttribute", 'Invalid value: "a.b/c": may only'),
    (COUNTERS, "spec.devices", devices(1), "spec", 'Invalid value: "": only one of `sharedCounters` or `devices` is'),
    (
        COUNTERS,
        "spec.sharedCounters",
        [{"name": f"s{i}", "counters": {"m": {"value": 1}}} for i in range(9)],
        "spec.sharedCounters",
        "Too many: 9: must have at most 8 items",
    ),
    (
        COUNTERS,
        "spec.sharedCounters[0].counters",
        {f"m{i}": {"value": 1} for i in range(33)},
        "spec.sharedCounters[0].counters",
        "Too many: 33: must have at most 32 items",
    ),
    (COUNTERS, "spec.sharedCounters[0].counters", {}, "spec.sharedCounters[0].counters", "Required value"),
    (CLAIM, "spec.devices.requests[0].name", "GPU", f"{GPU}.name", 'Invalid value: "GPU": a lowercase RFC 1123 label'),
    (CLAIM, "spec.devices.requests[0].exactly", None, GPU, "Required value: exactly one of `exactly` or"),
    (CLAIM, f"{GPU}.exactly.deviceClassName", None, f"{GPU}.exactly.deviceClassName", "Required value"),
    (CLAIM, f"{GPU}.exactly.count", -1, f"{GPU}.exactly.count", "Invalid value: -1: must be greater than zero"),
    (CLAIM, f"{GPU}.exactly.allocationMode", "Some", f"{GPU}.exactly.allocationMode", 'Unsupported value: "Some": sup'),
    (
        CLAIM,
        f"{GPU}.exactly",
        {"deviceClassName": "a", "allocationMode": "All", "count": 1},
        f"{GPU}.exactly.count",
        "Invalid value: 1: must not be specified when allocationMode is 'All'",
    ),
    (CLAIM, f"{GPU}.exactly.selectors", [{}], f"{GPU}.exactly.selectors[0].cel", "Required value"),
    (
        CLAIM,
        f"{GPU}.exactly.selectors[0].cel.expression",
        "x" * 10241,
        f"{GPU}.exactly.selectors[0].cel.expression",
        "Too long: may not be more than 10240 bytes",
    ),
    (
        CLAIM,
        f"{GPU}.exactly.selectors",
        [{"cel": {"expression": "true"}}] * 33,
        f"{GPU}.exactly.selectors",
        "Too many: 33: must have at most 32 items",
    ),
    (
        CLAIM,
        f"{GPU}.exactly.tolerations",
        [{"operator": "Exists", "value": "x"}],
        f"{GPU}.exactly.tolerations[0].value",
        'Invalid value: "x": must be empty for operator `Exists`',
    ),
    (
        CLAIM,
        f"{GPU}.exactly.tolerations",
        [{"operator": "Like"}],
        f"{GPU}.exactly.tolerations[0].operator",
        'Unsupported value: "Like": supported values: "Equal", "Exists"',
    ),
    (
        CLAIM,
        "spec.devices.requests[1].firstAvailable",
        [{"name": chr(97 + i), "deviceClassName": "x"} for i in range(9)],
        "spec.devices.requests[1].firstAvailable",
        "Too many: 9: must have at most 8 items",
    ),
    (CLAIM, "spec.devices.constraints[0].requests", ["tpu"], "spec.devices.constraints[0].requests[0]", REFERENCE),
    (CLAIM, "spec.devices.constraints[0].requests", ["nic/c"], "spec.devices.constraints[0].requests[0]", REFERENCE),
    (
        CLAIM,
        "spec.devices.constraints[0].requests",
        ["gpu", "gpu"],
        "spec.devices.constraints[0].requests[1]",
        'Duplicate value: "gpu"',
    ),
    (CLAIM, "spec.devices.constraints[0].matchAttribute", None, "spec.devices.constraints[0]", "Required value: exact"),
    (
        CLAIM,
        "spec.devices.constraints[0].matchAttribute",
        "root",
        "spec.devices.constraints[0].matchAttribute",
        'Invalid value: "root": a fully qualified name must be a domain and a name separated by a slash',
    ),
    (CLAIM, "spec.devices.config[0].requests", ["tpu"], "spec.devices.config[0].requests[0]", REFERENCE),
    (CLAIM, "spec.devices.config[0].opaque", None, "spec.devices.config[0].opaque", "Required value"),
    (
        CLAIM,
        "spec.devices.config[0].opaque.parameters",
        [1],
        "spec.devices.config[0].opaque.parameters",
        'Invalid value: "<value omitted>": must be a valid JSON object',
    ),
    (
        CLAIM,
        "spec.devices.config[0].opaque.parameters",
        {"a": "x" * 10240},
        "spec.devices.config[0].opaque.parameters",
        "Too long: may not be more than 10240 bytes",
    ),
    (
        CLAIM,
        f"{GPU}.exactly.derivedAttributes",
        [{"name": "example.com/other", "expression": "1"}],
        f"{GPU}.exactly.derivedAttributes[0].name",
        'Invalid value: "example.com/other": must be referenced by at least one matchAttribute',
    ),
    (CLAIM, "status.allocation", None, "status.reservedFor", "Forbidden: may not be specified when `allocated` is not"),
    (CLAIM, "status.reservedFor[0].uid", None, "status.reservedFor[0].uid", "Required value"),
    (
        CLAIM,
        "status.reservedFor",
        [{"resource": "pods", "name": "p", "uid": str(i)} for i in range(257)],
        "status.reservedFor",
        "Too many: 257: must have at most 256 items",
    ),
    (
        CLAIM,
        "status.allocation.devices.results[0].request",
        "tpu",
        "status.allocation.devices.results[0].request",
        REFERENCE,
    ),
    (
        CLAIM,
        "status.allocation.nodeSelector.nodeSelectorTerms[0].matchFields[0].key",
        "name",
        "status.allocation.nodeSelector.nodeSelectorTerms[0].matchFields[0].key",
        'Invalid value: "name": not a valid field selector key',
    ),
    (
        CLAIM,
        "status.devices",
        [{"driver": "d", "pool": "p", "device": "x"}],
        "status.devices[0]",
        'Invalid value: {"Driver":"d","Pool":"p","Device":"x","ShareID":""}: must be an allocated device in the claim',
    ),
    (
        CLASS,
        "spec.extendedResourceName",
        "gpu",
        "spec.extendedResourceName",
        'Invalid value: "gpu": a name must be a domain-prefixed path, such as',
    ),
    (
        CLASS,
        "spec.extendedResourceName",
        "kubernetes.io/x",
        "spec.extendedResourceName",
        'Invalid value: "kubernetes.io/x": must',
    ),
    (RULE, "spec.taint.key", "", "spec.taint.key", 'Invalid value: "": name part must be non-empty'),
    (RULE, "spec.taint.value", "a b", "spec.taint.value", 'Invalid value: "a b": a valid label must be an empty'),
    (RULE, "spec.deviceSelector.device", "", "spec.deviceSelector.device", 'Invalid value: "": a lowercase RFC 1123'),
    (TEMPLATE, "spec.metadata.name", "x", "spec.metadata.name", "Forbidden: cannot be set"),
    (
        TEMPLATE,
        "spec.spec.devices.requests",
        [{"name": f"r{i}", "exactly": {"deviceClassName": "x"}} for i in range(33)],
        "spec.spec.devices.requests",
        "Too many: 33: must have at most 32 items",
    ),
]


def changed(text: str, path: str, value: Any) -> dict[str, Any]:
    (document,) = parse_yaml(text)
    document = copy.deepcopy(document)
    *parents, last = [
        int(part) if part.isdigit() else part for part in path.replace("[", ".").replace("]", "").split(".")
    ]
    target = document
    for part in parents:
        target = target.setdefault(part, {}) if isinstance(target, dict) else target[part]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return document
