"""Random small allocator cases, in the JSON of the conformance cases: `random_case(seed)` is the same on every machine.

Every feature of the allocator meets every other one. The sizes are such that the judge answers in milliseconds, the
rates such that each answer (fits, does not, refused) is common. Objects keep to what the API server would accept,
except that pools may be incomplete or invalid, as they are while a driver publishes them.
"""

import random
from typing import Any

Json = dict[str, Any]


def where(key: str, operation: str, *values: str, kind: str = "matchExpressions") -> Json:
    """A node selector of one requirement."""
    rule: Json = {"key": key, "operator": operation}
    if values:
        rule["values"] = list(values)
    return {"nodeSelector": {"nodeSelectorTerms": [{kind: [rule]}]}}


FEATURES = [
    "AdminAccess",
    "ConsumableCapacity",
    "DeviceBindingAndStatus",
    "DeviceTaints",
    "PartitionableDevices",
    "PrioritizedList",
    "ListTypeAttributes",
]
NODE = {"metadata": {"name": "node-1", "labels": {"zone": "a", "rank": "3"}}}
DRIVERS = ["d.x", "d.x", "e.x"]
CLASSES = {
    "c": [],
    "cd": ['device.driver=="d.x"'],
    "ct": ['device.attributes[device.driver].t=="x"'],
    "cs": ["device.allowMultipleAllocations == true"],
}
SAFE_SELECTORS = [
    'device.attributes[device.driver].t=="x"',
    'device.attributes[device.driver].t=="y"',
    'device.attributes[device.driver].t!="x"',
    'device.driver=="e.x"',
    'device.driver=="d.x" && device.attributes["d.x"].i==0',
    'device.attributes["d.x"].i==1 && device.driver == "d.x"',
    "device.allowMultipleAllocations == false",
]
RISKY_SELECTORS = [  # "no such key" on devices of the other driver, or where the attribute is missing
    'device.attributes["d.x"].i==0',
    'device.attributes["d.x"].t=="x"',
    "device.attributes[device.driver].b",
    'device.attributes["o.x"].q=="u"',
    'device.capacity[device.driver].bw.compareTo(quantity("5")) >= 0',
    'device.attributes[device.driver].t.startsWith("x")',
]
ATTRIBUTES = ["d.x/a"] * 6 + ["d.x/t"] * 3 + ["d.x/i"] * 2 + ["d.x/v", "o.x/q", "e.x/a"]
HERE = [{"nodeName": "node-1"}] * 8 + [
    {"allNodes": True},
    {
        "nodeSelector": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
        }
    },
    {
        "nodeSelector": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "rank", "operator": "Gt", "values": ["2"]}]}]
        }
    },
    {
        "nodeSelector": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]},
            ]
        }
    },
]
ELSEWHERE = [{"nodeName": "node-2"}, where("zone", "NotIn", "a"), where("zone", "DoesNotExist")]
TOLERATIONS = [
    {"operator": "Exists"},
    {"key": "k", "operator": "Exists"},
    {"key": "k", "operator": "Equal", "value": "1"},
    {"operator": "Exists", "effect": "NoSchedule"},
]


class Generator:
    """One case. What is likely in it is drawn first, so that cases differ in kind and not only in detail."""

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(f"fairlead {seed}")
        self.features = FEATURES if self.chance(0.8) else [f for f in FEATURES if self.chance(0.8)]
        self.lists = self.rng.choice([0, 0, 0.2, 0.6]) if "ListTypeAttributes" in self.features else 0
        self.shared = self.rng.choice([0, 0.2, 0.8])
        self.partitioned = self.rng.choice([0, 0, 0.5, 1])
        self.capacities = self.shared > 0 or self.chance(0.3)
        self.taints, self.admin = self.rng.choice([0, 0, 0.2]), self.rng.choice([0, 0, 0.25])
        self.binding, self.risky = self.rng.choice([0, 0, 0, 0.2]), self.chance(0.25)
        self.unit = self.rng.choice(["", "", "Gi", "k"])

    def chance(self, rate: float) -> bool:
        return self.rng.random() < rate

    def amount(self, low: int, high: int) -> str:
        return f"{self.rng.randint(low, high)}{self.unit}"

    def case(self) -> Json:
        """The whole case, without an expected answer."""
        slices: list[Json] = []
        more = self.rng.sample([("d.x", "p1"), ("e.x", "p0"), ("e.x", "p1")], self.rng.choice([0, 1, 1, 1, 2]))
        for driver, name in [("d.x", "p0"), *more]:
            slices += self.pool(driver, name)
        self.rng.shuffle(slices)
        classes = [
            {"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": e}} for e in selectors]}}
            for name, selectors in CLASSES.items()
        ]
        claims = [self.claim(n) for n in range(self.rng.choice([1, 1, 1, 1, 2, 2, 3]))]
        case = {
            "name": f"random-{self.seed}",
            "features": self.features,
            "slices": slices,
            "classes": classes,
            "claims": claims,
            **self.taken(slices),
            "node": NODE,
        }
        if self.chance(0.1):
            hold_by_claims(case)
        return case

    def pool(self, driver: str, name: str) -> list[Json]:
        """The slices of one pool: counters, devices, now and then older ones or one too few."""
        sets: dict[str, Json] = {}
        if self.chance(self.partitioned):
            for number in range(self.rng.randint(1, 2)):
                keys = ["m"] if self.chance(0.6) else ["m", "s"]
                sets[f"cs{number}"] = {key: {"value": self.amount(3, 9)} for key in keys}
        devices = [self.device(f"d{n}", sets) for n in range(self.rng.choice([2, 3, 4, 4, 5, 6]))]
        self.rng.shuffle(devices)
        specs: list[Json] = []
        own = [{"name": key, "counters": counters} for key, counters in sets.items()]
        if own:
            parts = [own] if self.chance(0.6) else [[one] for one in own]
            specs += [{"sharedCounters": part, **self.place(0.06)} for part in parts]
        cut = self.rng.randint(1, len(devices)) if self.chance(0.5) else len(devices)
        for part in (devices[:cut], devices[cut:]):
            if part:
                specs.append({"devices": part, **self.place(0.07)})
        for spec in specs:
            if "devices" in spec and self.chance(0.08):
                for key in ("nodeName", "allNodes", "nodeSelector"):
                    spec.pop(key, None)
                spec["perDeviceNodeSelection"] = True
                spec["devices"] = [{**device, **self.place(0.3)} for device in spec["devices"]]
        generation, count = self.rng.randint(1, 3), len(specs) + self.chance(0.03)
        if self.chance(0.03):
            specs[-1].setdefault("devices", devices)
            if "sharedCounters" not in specs[-1]:
                specs[-1]["devices"] = specs[-1]["devices"] + [self.device("d0", sets)]  # a duplicate: invalid
        header = {"driver": driver, "pool": {"name": name, "generation": generation, "resourceSliceCount": count}}
        slices = [{"metadata": {"name": self.slice_name()}, "spec": {**header, **spec}} for spec in specs]
        if self.chance(0.06):  # a generation that comes or goes
            old = {"name": name, "generation": generation + self.rng.choice([-1, -1, 1]), "resourceSliceCount": 1}
            extra = {"devices": [self.device("d0", {}), self.device("d9", {})], **self.place(0.4)}
            slices.append({"metadata": {"name": self.slice_name()}, "spec": {"driver": driver, "pool": old, **extra}})
        return slices

    def slice_name(self) -> str:
        return f"{self.rng.choice('abcd')}-{self.rng.getrandbits(32):08x}"

    def place(self, away: float) -> Json:
        return dict(self.rng.choice(ELSEWHERE if self.chance(away) else HERE))

    def attributes(self) -> Json:
        found: Json = {"t": {"string": self.rng.choice("xy")}, "a": {"string": self.rng.choice("ABC")}}
        if self.chance(self.lists):
            found["a"] = {"strings": sorted(self.rng.sample("ABC", self.rng.randint(1, 2)))}
        found["i"] = {"int": self.rng.randint(0, 2)}
        if self.chance(0.3):
            found["v"] = {"version": self.rng.choice(["1.0.0", "1.1.0"])}
        if self.chance(0.3):
            found["b"] = {"bool": self.chance(0.7)}
        if self.chance(0.3):
            found["o.x/q"] = {"string": self.rng.choice("uv")} if self.chance(0.9) else {"int": 1}
        for name in list(found):
            if self.chance(0.03):
                del found[name]
        return found

    def device(self, name: str, sets: Json) -> Json:
        device: Json = {"name": name, "attributes": self.attributes()}
        if self.capacities and self.chance(0.85):
            device["capacity"] = {"bw": self.capacity()}
            if self.chance(0.15):
                device["capacity"]["mem"] = self.capacity()
        if self.chance(self.shared):
            device["allowMultipleAllocations"] = True
        if sets and self.chance(0.85):
            chosen = sorted(self.rng.sample(sorted(sets), self.rng.choice([1, 1, len(sets)])))
            device["consumesCounters"] = []
            for one in chosen:
                keys = [key for key in sets[one] if self.chance(0.8)] or ["m"]
                counters = {key: {"value": self.amount(1, 3)} for key in keys}
                device["consumesCounters"].append({"counterSet": one, "counters": counters})
            if self.chance(0.01):
                device["consumesCounters"][0]["counterSet"] = "unknown"
        if self.chance(self.taints):
            effect = self.rng.choice(["NoSchedule", "NoExecute", "None"])
            device["taints"] = [{"key": self.rng.choice("kl"), "value": self.rng.choice("12"), "effect": effect}]
        if self.chance(self.binding):
            device |= {"bindingConditions": ["ready"], "bindingFailureConditions": ["broken"]}
            device["bindsToNode"] = self.chance(0.5)
        return device

    def capacity(self) -> Json:
        value = self.rng.randint(3, 9)
        capacity: Json = {"value": f"{value}{self.unit}"}
        kind = self.rng.choice(["none", "none", "none", "range", "values", "default"])
        if kind == "range":
            low, step = self.rng.randint(1, 2), self.rng.randint(1, 2)
            steps = self.rng.randint(1, 3)
            limits = {"min": low, "max": low + step * steps, "step": step}
            if self.chance(0.3):
                del limits[self.rng.choice(["max", "step"])]
            start = low + step * self.rng.randint(0, 1)
            policy: Json = {"validRange": {key: f"{n}{self.unit}" for key, n in limits.items()}}
            capacity["requestPolicy"] = {"default": f"{start}{self.unit}", **policy}
        elif kind == "values":
            values = sorted(self.rng.sample(range(1, 6), self.rng.randint(1, 3)))
            policy = {"default": f"{self.rng.choice(values)}{self.unit}"}
            capacity["requestPolicy"] = policy | {"validValues": [f"{n}{self.unit}" for n in values]}
        elif kind == "default":
            capacity["requestPolicy"] = {"default": self.amount(1, 3)}
        return capacity

    def claim(self, number: int) -> Json:
        requests, names = [], []
        for n in range(self.rng.choice([1, 1, 2, 2, 3])):
            name = f"r{n}"
            names.append(name)
            if "PrioritizedList" in self.features and self.chance(0.25):
                options = [{"name": f"s{k}", **self.request(False)} for k in range(self.rng.randint(1, 3))]
                names += [f"{name}/{option['name']}" for option in options]
                requests.append({"name": name, "firstAvailable": options})
            else:
                requests.append({"name": name, "exactly": self.request(self.chance(self.admin))})
        devices: Json = {"requests": requests}
        constraints = []
        for _ in range(self.rng.choice([0, 0, 0, 1, 1, 2])):
            # distinctAttribute came with consumable capacity; without it the API server drops the field.
            distinct = "ConsumableCapacity" in self.features and self.chance(0.33)
            kind = "distinctAttribute" if distinct else "matchAttribute"
            constraint: Json = {kind: self.rng.choice(ATTRIBUTES)}
            if self.chance(0.5):
                constraint["requests"] = sorted(self.rng.sample(names, self.rng.randint(1, len(names))))
            constraints.append(constraint)
        if constraints:
            devices["constraints"] = constraints
        return {"metadata": {"name": f"claim-{number}", "namespace": "ns"}, "spec": {"devices": devices}}

    def request(self, admin: bool) -> Json:
        shared = ["cs"] if self.shared > 0.5 and self.chance(0.5) else []
        request: Json = {"deviceClassName": self.rng.choice(["c", "c", "c", "cd", "cd", "cd", "ct", *shared])}
        if self.chance(0.1):
            request["allocationMode"] = "All"
        else:
            request |= {"allocationMode": "ExactCount", "count": self.rng.choice([1, 1, 1, 1, 2, 2, 3])}
        if self.chance(0.3):
            selectors = SAFE_SELECTORS + (RISKY_SELECTORS if self.risky else [])
            request["selectors"] = [{"cel": {"expression": self.rng.choice(selectors)}}]
        if admin and "AdminAccess" in self.features:
            request["adminAccess"] = True
        if self.taints and self.chance(0.4):
            request["tolerations"] = [self.rng.choice(TOLERATIONS)]
        if self.capacities and "ConsumableCapacity" in self.features and self.chance(0.5):
            names = ["bw"] if self.chance(0.97) else ["bw", "mem"]
            request["capacity"] = {"requests": {name: self.amount(1, 4) for name in names}}
        return request

    def taken(self, slices: list[Json]) -> Json:
        """What earlier pods hold."""
        rate = self.rng.choice([0, 0.1, 0.25])
        held, shares, consumed = [], [], []
        for piece in slices:
            spec = piece["spec"]
            for device in spec.get("devices") or []:
                place = {"driver": spec["driver"], "pool": spec["pool"]["name"], "device": device["name"]}
                if not self.chance(rate) or place in held:
                    continue
                shared = device.get("allowMultipleAllocations") or self.chance(0.05)  # or was so when it was given away
                if not (shared and "ConsumableCapacity" in self.features):
                    held.append(place)
                    continue
                shares.append({**place, "shareID": f"share-{len(shares)}"})
                if device.get("capacity"):
                    amounts = {name: self.amount(0, 3) for name in device["capacity"]}
                    consumed.append({**place, "consumed": amounts})
        if self.chance(0.05):
            held.append({"driver": "d.x", "pool": "p0", "device": "gone"})
        return {"allocatedDevices": held, "allocatedSharedDeviceIDs": shares, "allocatedCapacity": consumed}


def hold_by_claims(case: Json) -> None:
    """Says what is held by claims with a status instead of by lists."""
    amounts = {tuple(d[k] for k in ("driver", "pool", "device")): d["consumed"] for d in case.pop("allocatedCapacity")}
    results = [{"request": "r", **device} for device in case.pop("allocatedDevices")]
    for device in case.pop("allocatedSharedDeviceIDs"):
        consumed = amounts.get(tuple(device[k] for k in ("driver", "pool", "device")))
        results.append({"request": "r", **device, **({"consumedCapacity": consumed} if consumed else {})})
    results += [{**r, "adminAccess": True, "device": "d1"} for r in results[:1] if "shareID" not in r]
    case["allocatedClaims"] = [
        {
            "metadata": {"name": f"held-{n}", "namespace": "other"},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}},
            "status": {"allocation": {"devices": {"results": [result]}}},
        }
        for n, result in enumerate(results)
    ]


def random_case(seed: int) -> Json:
    """The case with this number."""
    return Generator(seed).case()
