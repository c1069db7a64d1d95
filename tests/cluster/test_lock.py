"""The lock on a real control plane: kube-scheduler and Fairlead give out the same devices at the same time.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import running as cluster
from locked import FAIRLEAD, GROUP, REGISTRATION, SYSTEM, Lock, Observer, give, locked
from test_operation import get, scraped

from kube import ApiError, ControlPlane, add_cluster
from kube.api import wait_for

pytestmark = pytest.mark.cluster

Json = dict[str, Any]


@pytest.fixture(scope="module")
def lock(control_plane: ControlPlane) -> Iterator[Lock]:
    account = control_plane.service_account("fairlead-two-writers", cluster.RULES)
    account.write_kubeconfig(control_plane.folder / "fairlead.kubeconfig")
    with locked(control_plane) as made:
        yield made


def claims(lock: Lock, namespace: str, names: str) -> list[str]:
    """Claims without devices in a namespace of their own, with a node of eight devices: the path of each."""
    lock.plane.namespace(namespace)
    paths = bare_claims(lock, namespace, names)
    add_cluster(lock.plane.api, cluster.nodes(1, namespace))
    wait_for(lambda: not refusal(lock, namespace, "a", "gpu-7", dry_run=True), 10, "the lock to know the slice")
    return paths


def bare_claims(lock: Lock, namespace: str, names: str) -> list[str]:
    exactly = {"deviceClassName": namespace, "count": 1}
    made = [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}},
        }
        for name in names.split()
    ]
    lock.plane.api.create_all(made)
    return [f"{GROUP}/namespaces/{namespace}/resourceclaims/{name}" for name in names.split()]


def refusal(lock: Lock, namespace: str, name: str, *devices: str, **more: Any) -> str:
    """What the API server says to giving a claim devices; nothing if it does it."""
    path = f"{GROUP}/namespaces/{namespace}/resourceclaims/{name}"
    try:
        ids = [(f"{namespace}.example.com", f"{namespace}-000", device) for device in devices]
        give(lock.plane.api, path, ids, **more)
    except ApiError as error:
        return error.message
    return ""


def test_a_device_is_given_once_whatever_the_version_of_the_api(lock: Lock) -> None:
    paths = claims(lock, "once", "a b c")
    assert refusal(lock, "once", "a", "gpu-0", dry_run=True) == ""
    assert refusal(lock, "once", "a", "gpu-0") == ""
    assert refusal(lock, "once", "b", "gpu-1", "gpu-0") == (
        'admission webhook "lock.fairlead.dev" denied the request: '
        "claim once/b: device once.example.com/once-000/gpu-0 is held by claim once/a"
    )
    old = paths[1].replace("/v1/", "/v1beta1/")
    with pytest.raises(ApiError, match=r"lock\.fairlead\.dev"):
        give(lock.plane.api, old, [("once.example.com", "once-000", "gpu-0")])
    give(lock.plane.api, old, [("once.example.com", "once-000", "gpu-1")])
    assert "held by claim once/b" in refusal(lock, "once", "c", "gpu-1")
    lock.plane.api.patch(f"{paths[0]}/status", {"status": {"allocation": None}})
    wait_for(lambda: not refusal(lock, "once", "c", "gpu-0"), 10, "the device that was given back")


def test_metrics_of_the_one_that_answers_and_of_one_that_stands_by(lock: Lock) -> None:
    claims(lock, "counted", "a b")
    answering = lock.answering()
    (waiting,) = [one for one in lock.replicas.values() if one is not answering]

    def reviews(of: str) -> dict[str, float]:
        found = scraped(of)
        return {labels[0]: value for (name, labels), value in found.items() if name == "fairlead_lock_reviews_total"}

    before, reviewed = reviews(answering.metrics), scraped(answering.metrics)["fairlead_lock_review_seconds_count", ()]
    assert refusal(lock, "counted", "a", "gpu-0") == ""
    assert "held by claim counted/a" in refusal(lock, "counted", "b", "gpu-0")
    after, found = reviews(answering.metrics), scraped(answering.metrics)
    assert {outcome: after[outcome] - before[outcome] for outcome in after} == {
        "passed": 1,
        "refused": 1,
        "not known": 0,
        "not understood": 0,
    }
    assert found["fairlead_lock_review_seconds_count", ()] - reviewed == 2
    assert found["fairlead_lock_answers", ()] == 1
    published = [one["spec"]["devices"] for one in lock.plane.api.items(f"{GROUP}/resourceslices")]
    assert found["fairlead_lock_devices", ()] == sum(map(len, published))
    assert found["fairlead_lock_claims", ()] == len(lock.plane.api.items(f"{GROUP}/resourceclaims"))
    assert found["fairlead_lock_duplicates", ()] == 0
    assert found["process_resident_memory_bytes", ()] > 0
    idle = scraped(waiting.metrics)
    assert idle["fairlead_lock_answers", ()] == 0
    assert idle["fairlead_lock_devices", ()] == 0
    assert set(reviews(waiting.metrics).values()) == {0}
    assert get(waiting.metrics, "/readyz") == (200, "ok\n"), "who stands by is ready"


def test_a_write_that_passes_the_lock_and_is_refused_by_another_webhook_keeps_its_device_only_for_a_while(
    lock: Lock,
) -> None:
    claims(lock, "denied", "a b")
    rule = {
        "apiGroups": ["resource.k8s.io"],
        "apiVersions": ["v1"],
        "operations": ["UPDATE"],
        "resources": ["resourceclaims/status"],
    }
    webhook = {
        "name": "nobody.example.com",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:9/", "caBundle": lock.plane.authority.bundle()},
        "rules": [rule],
        "matchConditions": [{"name": "a", "expression": "object.metadata.name == 'a'"}],
        "sideEffects": "None",
    }
    lock.plane.api.create(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "nobody"},
            "webhooks": [webhook],
        }
    )
    try:
        wait_for(lambda: "nobody.example.com" in refusal(lock, "denied", "a", "gpu-1", dry_run=True), 20, "the other")
        assert "nobody.example.com" in refusal(lock, "denied", "a", "gpu-0")
        assert "held by claim denied/a" in refusal(lock, "denied", "b", "gpu-0")
        wait_for(lambda: not refusal(lock, "denied", "b", "gpu-0"), 40, "the device that nobody got", 0.5)
        assert scraped(lock.answering().metrics)["fairlead_lock_settled_total", ("overdue",)] >= 1
    finally:
        lock.plane.api.delete(f"{REGISTRATION}/nobody")


def test_what_was_held_twice_before_is_told_and_nobody_else_gets_it(lock: Lock) -> None:
    api = lock.plane.api
    paths = claims(lock, "twice", "a b c")
    lock.unregister()
    device = ("twice.example.com", "twice-000", "gpu-0")
    observer = Observer(api)
    observer.start()
    for path in paths[:2]:
        wait_for(lambda path=path: tried(lock, path, device), 20, "the API server to stop asking the lock")
    lock.register()
    wait_for(lambda: (device, ("twice/a", "twice/b")) in observer.twice, 20, "the observer to notice")
    observer.ended = True
    wait_for(lambda: events(lock, "twice"), 20, "the Events")
    told = events(lock, "twice")
    assert {one["involvedObject"]["name"] for one in told} == {"a", "b"}
    assert "twice.example.com/twice-000/gpu-0 is held more than once: claims twice/a, twice/b" in told[0]["message"]
    assert "held by claims twice/a, twice/b" in refusal(lock, "twice", "c", "gpu-0")
    held_twice = ("fairlead_lock_duplicates", ())
    assert scraped(lock.answering().metrics)[held_twice] == 1
    user = {"apiGroup": "example.com", "resource": "pins", "name": "p", "uid": "1"}
    api.patch(f"{paths[0]}/status", {"status": {"reservedFor": [user]}})
    command = [*FAIRLEAD, "duplicates", f"--kubeconfig={lock.plane.kubeconfig}", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert [holder["claim"] for holder in json.loads(done.stdout)[0]["holders"]] == ["twice/a", "twice/b"]
    api.patch(f"{paths[0]}/status", {"status": {"reservedFor": None, "allocation": None}})
    wait_for(lambda: "held by claim twice/b" in refusal(lock, "twice", "c", "gpu-0"), 10, "a to be gone")
    wait_for(lambda: scraped(lock.answering().metrics)[held_twice] == 0, 10, "the metrics to say so")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n")


def tried(lock: Lock, path: str, device: tuple[str, str, str]) -> bool:
    try:
        give(lock.plane.api, path, [device])
    except ApiError:
        return False
    return True


def events(lock: Lock, namespace: str) -> list[Json]:
    found = lock.plane.api.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector="reason=HeldTwice")
    return found if len(found) >= 2 else []


def two_writers(lock: Lock, namespace: str, count: int, seed: int) -> list[Json]:
    """Pods with one device each, half of them gated for Fairlead, and exactly the devices for all."""
    lock.plane.namespace(namespace)
    add_cluster(lock.plane.api, cluster.nodes(count // 8, namespace))
    lock.plane.api.create(cluster.template(namespace, namespace, 1))
    made = []
    for number in range(count):
        one = cluster.pod(namespace, f"p{number}", f"{namespace}-1")
        if number % 2:
            del one["spec"]["schedulingGates"]
        made.append(one)
    random.Random(seed).shuffle(made)
    return made


def test_two_writers_never_give_a_device_twice_though_the_lock_is_killed(lock: Lock) -> None:
    count = 200
    made = two_writers(lock, "both", count, seed=1)
    observer = Observer(lock.plane.api)
    observer.start()
    first = lock.answering()
    with cluster.controller(lock.plane):
        lock.plane.api.create_all(made[: count // 2])
        wait_for(lambda: observer.given > count // 8, 60, "some claims to get devices")
        first.kill()
        lock.plane.api.create_all(made[count // 2 :])
        second = lock.answering()
        assert second.name != first.name
        lock.start(first.name)
        wait_for(lambda: len(cluster.bound(lock.plane.api, "both")) == count, 120, "every pod to be bound", 0.5)
    wait_for(lambda: observer.given >= count or observer.problem, 60, "the observer to have seen all events")
    observer.ended = True
    assert observer.problem is None
    assert observer.twice == []
    assert sum(1 for device, holders in observer.held.items() if device[0] == "both.example.com" and holders) == count


def test_a_replica_that_is_told_to_stop_hands_over_at_once(lock: Lock) -> None:
    claims(lock, "hand", "a b")
    before = lock.answering()
    began = time.monotonic()
    before.process.terminate()
    after = wait_for(lambda: (found := lock.answering()).name != before.name and found, 30, "another to answer")
    assert time.monotonic() - began < 10, "not after the Lease had run out"
    assert before.process.wait(20) == 0
    wait_for(lambda: not refusal(lock, "hand", "a", "gpu-0"), 20, "the API server to reach it")
    assert "held by claim hand/a" in refusal(lock, "hand", "b", "gpu-0")
    lock.start(before.name)
    assert lock.answering() is after


def test_a_certificate_that_is_renewed_is_shown_without_a_restart(lock: Lock) -> None:
    import ssl

    def shown() -> bytes:
        return ssl.get_server_certificate(("127.0.0.1", lock.answering().port)).encode()

    before = shown()
    lock.plane.authority.issue("webhook")  # the same files
    wait_for(lambda: shown() != before, 20, "the new certificate", 0.5)
    assert shown().strip() == lock.certificate.read_bytes().strip()


def test_the_lock_has_no_other_rights_than_documented(lock: Lock) -> None:
    assert SYSTEM == "fairlead-system"
    assert "forbidden" not in lock.log.read_text()


def test_the_documented_way_out_of_a_duplicate_gives_the_device_to_no_third(lock: Lock) -> None:
    api = lock.plane.api
    lock.plane.namespace("third")
    objects = cluster.nodes(1, "third")
    for one in objects:
        if one["kind"] == "ResourceSlice":
            del one["spec"]["devices"][1:]
    add_cluster(api, objects)
    device = ("third.example.com", "third-000", "gpu-0")
    paths = bare_claims(lock, "third", "a b")
    lock.unregister()
    for path in paths:
        wait_for(lambda path=path: tried(lock, path, device), 20, "the API server to stop asking the lock")
    lock.register()
    api.create(cluster.template("third", "third", 1))

    def third(name: str) -> None:
        one = cluster.pod("third", name, "third-1")
        del one["spec"]["schedulingGates"]
        api.create(one)

    def said(name: str) -> str:
        pod = api.get(f"/api/v1/namespaces/third/pods/{name}")
        found = api.items("/api/v1/namespaces/third/events", fieldSelector=f"involvedObject.name={name}")
        conditions = [one.get("message", "") for one in pod.get("status", {}).get("conditions", [])]
        return " ".join([*conditions, *(one["message"] for one in found)])

    rule = {
        "apiVersion": "resource.k8s.io/v1beta2",
        "kind": "DeviceTaintRule",
        "metadata": {"name": "held-twice"},
        "spec": {
            "deviceSelector": dict(zip(("driver", "pool", "device"), device, strict=True)),
            "taint": {"key": "fairlead.dev/held-twice", "effect": "NoSchedule"},
        },
    }
    api.create(rule)
    time.sleep(0.5)  # kube-scheduler's informer
    api.patch(f"{paths[1]}/status", {"status": {"allocation": None}})
    third("tainted")
    wait_for(lambda: "cannot allocate all claims" in said("tainted"), 30, "kube-scheduler to leave the device alone")
    assert "lock.fairlead.dev" not in said("tainted")
    api.delete(f"{GROUP.replace('/v1', '/v1beta2')}/devicetaintrules/held-twice")
    # Without the taint kube-scheduler takes the device for free, though a holds it, and the lock refuses that.
    wait_for(lambda: "lock.fairlead.dev" in said("tainted"), 60, "kube-scheduler to try", 0.5)
    api.patch(f"{paths[0]}/status", {"status": {"allocation": None}})
    wait_for(lambda: cluster.bound(api, "third") == {"tainted": "third-000"}, 60, "the pod to be bound", 0.5)
