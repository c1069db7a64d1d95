"""Which devices a node reaches: slices by node, generations, completeness and validity of pools, and their order."""

from fractions import Fraction

from rules import Json, RefusedError, quantity, reaches, selected


def gather(case: Json, node: Json) -> list[Json]:
    """The pools of the node in the order of search; each is "usable", "incomplete" or "invalid"."""
    partitions = "PartitionableDevices" in case["features"]
    pools: dict[tuple[str, str], list[Json]] = {}
    mine = [s for s in case["slices"] if s["spec"].get("nodeName") == node["metadata"]["name"]]
    for piece in mine + [s for s in case["slices"] if not s["spec"].get("nodeName")]:
        spec, each = piece["spec"], piece["spec"].get("perDeviceNodeSelection")
        if not partitions and (each is not None or spec.get("sharedCounters")):
            continue
        whole = spec.get("nodeName") or spec.get("allNodes") or spec.get("nodeSelector") is not None
        if reaches(spec, node) if whole else each and any(reaches(d, node) for d in spec.get("devices") or []):
            pools.setdefault((spec["driver"], spec["pool"]["name"]), []).append(piece)
    result = []
    for (driver, name), pieces in pools.items():
        newest = max(p["spec"]["pool"].get("generation", 0) for p in pieces)
        pieces = [p for p in pieces if p["spec"]["pool"].get("generation", 0) == newest]
        wanted, others = pieces[0]["spec"]["pool"]["resourceSliceCount"], []
        if len(pieces) != wanted:
            every = [p for p in case["slices"] if (p["spec"]["driver"], p["spec"]["pool"]["name"]) == (driver, name)]
            if max(p["spec"]["pool"].get("generation", 0) for p in every) > newest:
                continue  # a newer generation has nothing for this node
            known = {p["metadata"]["name"] for p in pieces}
            others = [
                p
                for p in every
                if p["spec"]["pool"].get("generation", 0) == newest and p["metadata"]["name"] not in known
            ]
        pool: Json = {"driver": driver, "name": name, "state": "usable", "devices": [], "all": [], "counters": {}}
        pool["late"] = False  # pools with binding conditions come after all others
        result.append(pool)
        if len(pieces) + len(others) != wanted:
            pool["state"] = "incomplete"
            continue
        sets = set()
        for piece in sorted(pieces, key=lambda p: p["metadata"]["name"]) + others:
            for counters in piece["spec"].get("sharedCounters") or [] if partitions else []:
                pool["state"] = "invalid" if counters["name"] in sets else pool["state"]
                sets.add(counters["name"])
                for key, counter in (counters.get("counters") or {}).items():
                    pool["counters"][counters["name"], key] = quantity(counter["value"])[0]
            if partitions and piece["spec"].get("sharedCounters"):
                continue
            for raw in piece["spec"].get("devices") or []:
                device = {**raw, "id": f"{driver}/{name}/{raw['name']}", "spec": piece["spec"], "pool": pool}
                pool["all"].append(device)
                if piece not in others:
                    pool["devices"].append(device)
        names = [device["id"] for device in pool["devices"]]
        drawn = [use for device in pool["all"] for use in device.get("consumesCounters") or []]
        unknown = any(use["counterSet"] not in sets for use in drawn) or any(
            (use["counterSet"], key) not in pool["counters"] for use in drawn for key in use.get("counters") or {}
        )
        if len(names) != len(set(names)) or (partitions and unknown):
            pool["state"] = "invalid"
        pool["late"] = pool["state"] == "usable" and any(
            d.get("bindingConditions") is not None for d in pool["devices"]
        )
    return sorted(result, key=lambda p: (p["late"], p["driver"].encode(), p["name"].encode()))


def left(pool: Json, devices: list[Json]) -> dict[tuple[str, str], Fraction]:
    """What remains of each counter of a pool when these devices have taken theirs; it can be negative."""
    result = dict(pool["counters"])
    for use in (use for device in devices for use in device.get("consumesCounters") or []):
        for key, counter in (use.get("counters") or {}).items():
            result[use["counterSet"], key] -= quantity(counter["value"])[0]
    return result


def matches(option: Json, device: Json, node: Json, features: set[str]) -> bool:
    """Whether a device is what a request asks for: binding conditions, class, request, then the device's own nodes."""
    facts = {"driver": device["pool"]["driver"], "shared": bool(device.get("allowMultipleAllocations"))}
    facts |= {"attributes": device.get("attributes") or {}, "capacity": device.get("capacity") or {}}
    selectors = [*(option["class"].get("selectors") or []), *(option.get("selectors") or [])]
    return (
        ("DeviceBindingAndStatus" in features or not device.get("bindingConditions"))
        and all(selected(selector["cel"]["expression"], facts) for selector in selectors)
        and (not device["spec"].get("perDeviceNodeSelection") or reaches(device, node))
    )


def check_node_selector(devices: list[Json]) -> None:
    """The nodes of a claim's allocation must be one term: devices that name several cannot be combined."""
    for device in devices:
        place = device if device["spec"].get("perDeviceNodeSelection") else device["spec"]
        if place.get("nodeName") is not None or device.get("bindsToNode"):
            return
        if len((place.get("nodeSelector") or {}).get("nodeSelectorTerms") or []) > 1:
            raise RefusedError("node selector with several terms")
