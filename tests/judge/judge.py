"""The judge: right answers for allocator cases by brute force, sharing no code with Fairlead.

`judge(case)` takes the plain JSON of a conformance case and returns `{"devices": [[[request, device], ...], ...]}`, a
list a claim, `{"devices": None}` when nothing fits or `{"error": True}` when the pod is refused. The rules are those of
Kubernetes' structured allocator with its known errors corrected: claims, requests, alternatives and devices in their
documented order, and the first complete solution wins. Nothing is pruned and every sum is taken afresh from the picks
made so far: exponential, good for small cases only, and short enough to be checked by reading.
"""

from pools import check_node_selector, gather, left, matches
from rules import (
    ExhaustedError,
    Json,
    RefusedError,
    consumption,
    quantity,
    satisfied,
    state,
    tolerated,
)

LIMIT = 32  # devices a claim
OVER = "over"  # what a search answers where the claim would exceed the limit, whichever devices are taken


class Search:
    """One node: the picks made so far and what may be picked next. A pick is a dict."""

    def __init__(self, case: Json, node: Json, steps: int) -> None:
        self.case, self.node, self.steps, self.on = case, node, steps, set(case["features"])
        self.pools, self.picks, self.seen = gather(case, node), [], {}
        self.devices = [d for pool in self.pools if pool["state"] == "usable" for d in pool["devices"]]
        self.held, self.shares, self.account = state(case)
        self.claims = [self.prepare(claim) for claim in case["claims"]]

    def prepare(self, claim: Json) -> list[list[Json]]:
        """The checks before the search; the claim's requests, each a list of alternatives."""
        requests, least = [], 0
        for request in claim["spec"]["devices"].get("requests") or []:
            name, several = request["name"], request.get("firstAvailable")
            if several and "PrioritizedList" not in self.on:
                raise RefusedError("prioritized list")
            options = [{**option, "full": f"{name}/{option['name']}"} for option in several or []]
            options = options or [{**(request.get("exactly") or {}), "full": name}]
            for option in options:
                option["parent"] = name
                self.check(option)
            requests.append(options)
            least += min(option["number"] for option in options)
            if least > LIMIT:
                raise RefusedError("too many devices")
        for constraint in claim["spec"]["devices"].get("constraints") or []:
            if not (constraint.get("matchAttribute") or constraint.get("distinctAttribute")):
                raise RefusedError("empty constraint")
        return requests

    def check(self, option: Json) -> None:
        """Refuses what is not understood; finds the devices of mode All."""
        classes = {c["metadata"]["name"]: c["spec"] for c in self.case["classes"]}
        if "ConsumableCapacity" not in self.on and option.get("capacity") is not None:
            raise RefusedError("capacity")
        if "AdminAccess" not in self.on and option.get("adminAccess") is not None:
            raise RefusedError("admin access")
        if any("cel" not in selector for selector in option.get("selectors") or []):
            raise RefusedError("selector")
        if option.get("deviceClassName") not in classes:
            raise RefusedError("class")
        option["class"], option["all"] = classes[option["deviceClassName"]], None
        if option.get("allocationMode") == "All":
            if any(pool["state"] != "usable" for pool in self.pools):
                raise RefusedError("a pool is incomplete or invalid")
            option["all"] = [d for d in self.devices if self.selectable(option, d)]
            option["all"] = [d for d in option["all"] if self.room(option, d)]
        elif option.get("allocationMode") != "ExactCount" or option.get("count", 0) < 1:
            raise RefusedError("allocation mode")
        option["number"] = option["count"] if option["all"] is None else len(option["all"])

    def shared(self, device: Json) -> bool:
        return "ConsumableCapacity" in self.on and bool(device.get("allowMultipleAllocations"))

    def selectable(self, option: Json, device: Json) -> bool:
        """Binding conditions, class, request, then the device's own nodes; asked once, so that an error comes once."""
        key = id(option), id(device)
        if key not in self.seen:
            self.seen[key] = matches(option, device, self.node, self.on)
        return self.seen[key]

    def room(self, option: Json, device: Json) -> bool:
        """Whether the device has the capacity left, each of them, by its request policies."""
        if "ConsumableCapacity" not in self.on:
            return True
        amounts = consumption(device, option)
        shares = [p["amounts"] for p in self.picks if p["device"]["id"] == device["id"] and self.shared(device)]
        before = self.account if self.shared(device) else {}
        return amounts is not None and all(
            amount + before.get((device["id"], name), 0) + sum(share[name] for share in shares)
            <= quantity(device["capacity"][name]["value"])[0]
            for name, amount in amounts.items()
        )

    def payable(self, option: Json, device: Json) -> bool:
        """Whether the pool's counters suffice. Admin access pays nothing, a shared device pays with its first share."""
        if not device.get("consumesCounters") or "PartitionableDevices" not in self.on:
            return not device.get("consumesCounters")
        if option.get("adminAccess") or self.paid(device):
            return True
        pool = device["pool"]
        spent = [d for d in pool["all"] if d["id"] in self.held | self.shares] + [device]
        spent += [p["device"] for p in self.picks if p["pays"] and p["device"]["pool"] is pool]
        return min(left(pool, spent).values(), default=0) >= 0

    def paid(self, device: Json) -> bool:
        """Whether the counters of a shared device are paid already."""
        earlier = any(p["pays"] and p["device"] is device for p in self.picks)
        return self.shared(device) and (device["id"] in self.shares or earlier)

    def taken(self, option: Json, device: Json, claim: int) -> bool:
        picked = [p["claim"] for p in self.picks if p["device"]["id"] == device["id"] and not self.shared(device)]
        held = self.held if self.shared(device) else self.held | self.shares  # a device may cease to be shared
        return claim in picked if option.get("adminAccess") else device["id"] in held or bool(picked)

    def acceptable(self, claim: int, option: Json, device: Json) -> bool:
        """Whether the device may be picked now; the rules in the order that decides which error comes first."""
        if self.taken(option, device, claim) or not self.selectable(option, device) or not self.room(option, device):
            return False
        if not self.payable(option, device):
            return False
        taints = device.get("taints") or [] if "DeviceTaints" in self.on else []
        if not all(tolerated(taint, option.get("tolerations") or []) for taint in taints):
            return False
        for constraint in self.case["claims"][claim]["spec"]["devices"].get("constraints") or []:
            names = set(constraint.get("requests") or [])
            before = [p for p in self.picks if p["claim"] == claim] + [{"option": option, "device": device}]
            bound = [p["device"] for p in before if not names or names & {p["option"]["parent"], p["option"]["full"]}]
            concerned = not names or names & {option["parent"], option["full"]}
            if concerned and not satisfied(constraint, bound, "ListTypeAttributes" in self.on):
                if option["all"] is not None:
                    raise RefusedError("a constraint excludes one of all devices")
                return False
        return True

    def search(self, claim: int, request: int) -> bool | str:
        """Everything from this request on: True with the picks complete, False, or OVER."""
        if claim == len(self.claims):
            return True
        if request == len(self.claims[claim]):
            return self.search(claim + 1, 0) is True
        answers: list[bool | str] = [OVER]
        for option in self.claims[claim][request]:
            answers.append(self.fill(claim, request, option, 0, 0))
            if answers[-1] is True:
                return True
        return OVER if set(answers) == {OVER} else False

    def fill(self, claim: int, request: int, option: Json, done: int, start: int) -> bool | str:
        """The devices of one alternative from the number `done` on, and then everything after it."""
        if option["all"] == []:
            return False
        if done == option["number"]:
            return self.search(claim, request + 1)
        if sum(p["claim"] == claim for p in self.picks) + option["number"] - done > LIMIT:
            return OVER
        candidates = enumerate(self.devices[start:], start) if option["all"] is None else [(0, option["all"][done])]
        for place, device in candidates:
            self.steps -= 1
            if self.steps < 0:
                raise ExhaustedError
            if not self.acceptable(claim, option, device):
                continue
            pick = {"claim": claim, "option": option, "device": device, "amounts": consumption(device, option)}
            pick["pays"] = (
                bool(device.get("consumesCounters")) and not option.get("adminAccess") and not self.paid(device)
            )
            self.picks.append(pick)
            answer = self.fill(claim, request, option, done + 1, place + 1)
            if answer is True:
                return True
            self.picks.pop()
            if answer == OVER:
                return OVER
        return False


def judge(case: Json, steps: int = 10**9) -> Json:
    """The right answer, of several nodes for the first that fits. Raises `ExhaustedError` after so many steps."""
    answer: Json = {"devices": None}
    try:
        for node in case.get("nodes") or [case["node"]]:
            search = Search(case, node, steps)
            if search.search(0, 0) is True:
                picks = [[p for p in search.picks if p["claim"] == n] for n in range(len(case["claims"]))]
                for claim in picks:
                    check_node_selector([p["device"] for p in claim])
                return {"devices": [[[p["option"]["full"], p["device"]["id"]] for p in claim] for claim in picks]}
            # An invalid pool is an error of the node only: the next one may still do.
            answer = {"error": True} if any(p["state"] == "invalid" for p in search.pools) else {"devices": None}
    except RefusedError:
        return {"error": True}
    return answer
