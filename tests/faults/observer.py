"""Looks at every event of the claims and pods of a control plane, over connections of its own, past the proxy.

A device that two claims hold is noted at the event which shows it. Claims come in the order in which they were written,
so nothing is missed between two events; where a watch has to start over after the server was killed, the state then is
looked at as a whole.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import defaultdict
from typing import Any

from kube.api import Api, ApiError

CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
PODS = "/api/v1/pods"
EVENTS = "/api/v1/events"
Device = tuple[str, str, str]


class Observer:
    """Objects as their watches show them, by `namespace/name`, and what was wrong at any moment."""

    def __init__(self, api: Api) -> None:
        self.wrong: list[str] = []
        self.seen = 0
        """Events of claims and pods."""
        self.pods: dict[str, dict[str, Any]] = {}
        self.claims: dict[str, dict[str, Any]] = {}
        self.told: dict[str, list[str]] = {}
        """What pods, by UID, were told by us."""
        self.holders: dict[Device, set[str]] = defaultdict(set)
        self.lock = threading.Lock()
        self._api = api
        self._held: dict[str, set[Device]] = {}
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(CLAIMS, self._claims_anew, self._claim), daemon=True),
            threading.Thread(target=self._follow, args=(PODS, self.pods.clear, self._pod), daemon=True),
            threading.Thread(target=self._follow, args=(EVENTS, self.told.clear, self._event), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more is looked at; the threads end with their next event, at the latest with the server."""
        self._ended.set()

    def _follow(self, path: str, anew: Any, take: Any) -> None:
        since = ""
        while not self._ended.is_set():
            try:
                if not since:
                    with self.lock:
                        anew()
                for event in self._api.watch(path, since):
                    if self._ended.is_set():
                        return
                    since = event["object"]["metadata"]["resourceVersion"]
                    with self.lock:
                        take(event["type"], event["object"])
            except ApiError:
                since = ""
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.05)

    def _claims_anew(self) -> None:
        self.claims.clear()
        self._held.clear()
        self.holders.clear()

    def _claim(self, what: str, claim: dict[str, Any]) -> None:
        self.seen += 1
        key = key_of(claim)
        for device in self._held.pop(key, ()):
            self.holders[device].discard(key)
        self.claims.pop(key, None)
        if what == "DELETED":
            return
        self.claims[key] = claim
        self._held[key] = devices_of(claim)
        for device in self._held[key]:
            self.holders[device].add(key)
            if len(self.holders[device]) > 1:
                version = claim["metadata"]["resourceVersion"]
                self.wrong.append(f"{'/'.join(device)} is held by {sorted(self.holders[device])} at version {version}")

    def _pod(self, what: str, pod: dict[str, Any]) -> None:
        self.seen += 1
        if what == "DELETED":
            self.pods.pop(key_of(pod), None)
        else:
            self.pods[key_of(pod)] = pod

    def _event(self, what: str, event: dict[str, Any]) -> None:
        if what != "DELETED" and event.get("source", {}).get("component") == "fairlead":
            self.told.setdefault(event["involvedObject"]["uid"], []).append(event["message"])


def key_of(item: dict[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def devices_of(claim: dict[str, Any]) -> set[Device]:
    """The devices that a claim holds."""
    allocation = claim.get("status", {}).get("allocation") or {"devices": {"results": []}}
    return {(one["driver"], one["pool"], one["device"]) for one in allocation["devices"]["results"]}
