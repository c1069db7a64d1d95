"""What is checked before a claim is prepared, what kubelet is told, and what happens when preparing fails."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from workshop import DRIVER, NODE, Bench, ClockConfig, GpuConfig, claim, config, result

from fairlead.driver.author import Claim, Pool, PreparedDevice, PrepareError
from fairlead.driver.engine import Done, Outcome
from fairlead.driver.inventory import DiscoveryError, make_inventory
from fairlead.resource import Device, ObjectMeta, ResourceClaim


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "node")


def spec(bench: Bench, uid: str) -> dict[str, dict[str, object]]:
    text = (bench.cdi / f"k8s.{DRIVER}-claim_{uid}.json").read_text()
    return {device["name"]: device["containerEdits"] for device in json.loads(text)["devices"]}


def test_kubelet_is_told_request_pool_device_and_cdi_names(bench: Bench) -> None:
    engine, _ = bench.engine()
    answers = engine.prepare(claim("u", result("gpu-0", "main/big"), result("gpu-1", "nic")), "u")
    assert [(one.request, one.pool, one.device) for one in answers] == [
        ("main", NODE, "gpu-0"),
        ("nic", NODE, "gpu-1"),
    ]
    kind = f"k8s.{DRIVER}/claim"
    assert [one.cdi_ids for one in answers] == [
        (f"{kind}=u_0_gpu-0", f"{kind}=u_metadata_main"),
        (f"{kind}=u_1_gpu-1", f"{kind}=u_metadata_nic"),
    ]
    assert spec(bench, "u")["u_0_gpu-0"]["env"] == ["GPU_main=gpu-0"]


def test_repeated_prepare_says_the_same_and_calls_nothing(bench: Bench) -> None:
    engine, driver = bench.engine()
    wanted = claim("u", result("gpu-0"))
    first = engine.prepare(wanted, "u")
    (bench.cdi / f"k8s.{DRIVER}-claim_u.json").unlink()
    engine.inventory = make_inventory(Pool([]), NODE)  # a device that has gone meanwhile is no reason to fail
    assert engine.prepare(wanted, "u") == first
    assert len(driver.seen) == 1
    assert "u_0_gpu-0" in spec(bench, "u")  # put in place again


def test_results_of_other_drivers_are_skipped(bench: Bench) -> None:
    engine, driver = bench.engine()
    other = result("nic-0", "nic", driver="net.example.com")
    answers = engine.prepare(claim("u", other, result("gpu-1")), "u")
    assert [one.device for one in answers] == ["gpu-1"]
    assert [device.name for device in driver.seen[0].devices] == ["gpu-1"]
    assert list(spec(bench, "u")) == ["u_1_gpu-1", "u_metadata_gpu"]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (claim("other", result("gpu-0")), "metadata.uid: is other, kubelet asks for u"),
        (ResourceClaim(metadata=ObjectMeta(name="c", namespace="ml", uid="u")), "the claim is not allocated"),
        (claim("u", result("gpu-9")), "results[0]: device gpu-9 of pool node-1 is not on this node"),
        (claim("u", result("gpu-0", pool="node-2")), "device gpu-0 of pool node-2 is not on this node"),
        (claim("u", result("x", driver="net.example.com")), f"none is of driver {DRIVER}"),
    ],
)
def test_claims_that_are_not_to_be_prepared(bench: Bench, wanted: ResourceClaim, reason: str) -> None:
    engine, driver = bench.engine()
    with pytest.raises(PrepareError) as caught:
        engine.prepare(wanted, "u")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("ResourceClaim ml/")
    assert driver.seen == []
    assert bench.states() == {}


def test_a_device_of_another_claim_is_refused(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.prepare(claim("u", result("gpu-1")), "u")
    with pytest.raises(PrepareError, match=r"gpu-1 of pool node-1 is in use by ResourceClaim ml/claim-u \(uid u\)"):
        engine.prepare(claim("v", result("gpu-2"), result("gpu-1")), "v")
    engine.unprepare("u")
    engine.prepare(claim("v", result("gpu-2"), result("gpu-1")), "v")


def test_shares_and_administrators_may_use_what_others_hold(bench: Bench) -> None:
    engine, driver = bench.engine()
    answers = engine.prepare(claim("u", result("gpu-1", share_id="s1")), "u")
    assert answers[0].share_id == "s1"
    engine.prepare(claim("v", result("gpu-1", share_id="s2")), "v")
    engine.prepare(claim("w", result("gpu-1", admin_access=True)), "w")
    assert driver.seen[2].devices[0].admin_access
    with pytest.raises(PrepareError, match="in use"):
        engine.prepare(claim("x", result("gpu-1", share_id="s2")), "x")
    with pytest.raises(PrepareError, match="in use"):
        engine.prepare(claim("x", result("gpu-1")), "x")
    assert bench.held() == {"gpu-1@s1": "u", "gpu-1@s2": "v"}


def test_partitions_that_take_more_than_there_is_are_refused(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.prepare(claim("u", result("half-0a")), "u")
    engine.prepare(claim("v", result("half-0b")), "v")
    for device in ("half-0c", "gpu-0"):
        with pytest.raises(PrepareError, match=r"counter memory of gpu-0-counters .* claim-u, claim-v"):
            engine.prepare(claim("w", result(device)), "w")
    engine.prepare(claim("w", result("gpu-0", admin_access=True)), "w")


def test_configuration_of_class_then_claim_later_wins(bench: Bench) -> None:
    engine, driver = bench.engine()
    entries = [
        config("FromClaim", sliceMs=3, sharing="time"),
        config("FromClass", sliceMs=1),
        config("FromClaim", "nic", sliceMs=9),
        config("FromClaim", driver="net.example.com", kind="Unknown"),
        config("FromClass", "gpu", kind="ClockConfig", mhz=900),
    ]
    engine.prepare(claim("u", result("gpu-0", "gpu/big"), result("gpu-1", "nic"), config=entries), "u")
    gpu, nic = driver.seen[0].devices
    assert gpu.config(GpuConfig) == GpuConfig(sharing="time", slice_ms=3)
    assert gpu.config(ClockConfig) == ClockConfig(mhz=900)
    assert nic.config(GpuConfig) == GpuConfig(slice_ms=9)
    assert nic.config(ClockConfig) is None


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"shering": "time"}, "GpuConfig: Object contains unknown field `shering`"),
        ({"sharing": "tme"}, "GpuConfig: Invalid enum value 'tme' - at `$.sharing`"),
        ({"sliceMs": "3"}, "GpuConfig: Expected `int`, got `str` - at `$.sliceMs`"),
        ({"kind": "GpuConfg"}, "kind 'GpuConfg': is not known to the driver; known: gpu.example.com/v1 GpuConfig, "),
        ({"apiVersion": "gpu.example.com/v9"}, "apiVersion 'gpu.example.com/v9'"),
    ],
)
def test_wrong_configuration_names_the_place(bench: Bench, parameters: dict[str, object], reason: str) -> None:
    """Even where it applies to none of the claim's devices."""
    engine, _ = bench.engine()
    entries = [config("FromClass"), config("FromClaim", "elsewhere", **parameters)]
    with pytest.raises(PrepareError) as caught:
        engine.prepare(claim("u", result("gpu-0"), config=entries), "u")
    assert "ResourceClaim ml/claim-u: status.allocation.devices.config[1].opaque.parameters: " in str(caught.value)
    assert reason in str(caught.value)


def test_a_failing_driver_is_rolled_back(bench: Bench) -> None:
    engine, driver = bench.engine()
    driver.fail = "gpu-2"
    with pytest.raises(PrepareError, match="ResourceClaim ml/claim-u: gpu-2 does not answer"):
        engine.prepare(claim("u", result("gpu-1"), result("gpu-2")), "u")
    assert (bench.held(), bench.states(), bench.specs(), bench.metadata()) == ({}, {}, [], [])


def test_a_bug_in_the_driver_is_told_and_rolled_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, driver = bench.engine()
    monkeypatch.setattr(driver, "prepare", lambda claim: [claim.devices[7].prepared()])
    with pytest.raises(PrepareError, match="the driver failed: IndexError"):
        engine.prepare(claim("u", result("gpu-1")), "u")
    assert bench.states() == {}
    monkeypatch.setattr(driver, "prepare", lambda claim: [])
    with pytest.raises(PrepareError, match="the driver did not prepare gpu-1"):
        engine.prepare(claim("u", result("gpu-1")), "u")


def test_what_cannot_be_undone_stays_with_the_claim(bench: Bench) -> None:
    engine, driver = bench.engine()
    driver.fail = driver.stuck = "gpu-2"
    with pytest.raises(PrepareError, match=r"does not answer; undoing it failed, too, .* gpu-2 is busy"):
        engine.prepare(claim("u", result("gpu-1"), result("gpu-2")), "u")
    assert bench.states() == {"u": "started"}
    with pytest.raises(PrepareError, match="in use by ResourceClaim ml/claim-u"):
        engine.prepare(claim("v", result("gpu-1")), "v")
    again, driver = bench.engine()
    driver.stuck = "gpu-2"
    assert again.recover() == ["ResourceClaim ml/claim-u (uid u): gpu-2 is busy"]
    driver.stuck = ""
    again.prepare(claim("u", result("gpu-1"), result("gpu-2")), "u")
    assert bench.states() == {"u": "completed"}


def test_unprepare_of_an_unknown_claim_is_done_at_once(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.unprepare("never")
    engine.prepare(claim("u", result("gpu-1")), "u")
    engine.unprepare("u")
    engine.unprepare("u")
    assert (bench.held(), bench.states(), bench.specs(), bench.metadata()) == ({}, {}, [], [])


def test_unprepare_that_fails_may_be_repeated(bench: Bench) -> None:
    engine, driver = bench.engine()
    engine.prepare(claim("u", result("gpu-1")), "u")
    driver.stuck = "gpu-1"
    with pytest.raises(PrepareError, match="gpu-1 is busy"):
        engine.unprepare("u")
    driver.stuck = ""
    engine.unprepare("u")
    assert bench.states() == {}


def test_a_claim_that_was_allocated_anew_is_prepared_anew(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.prepare(claim("u", result("gpu-1")), "u")
    engine.prepare(claim("u", result("gpu-2")), "u")
    assert bench.held() == {"gpu-2": "u"}
    assert next(iter(spec(bench, "u"))) == "u_0_gpu-2"


def test_claims_together_are_told_one_by_one(bench: Bench) -> None:
    engine, driver = bench.engine()
    driver.fail = "gpu-2"
    engine.prepare(claim("old", result("gpu-1")), "old")
    jobs = [
        ("new", claim("new", result("gpu-0"))),
        ("failing", claim("failing", result("gpu-2"))),
        ("old", claim("old", result("gpu-1"))),
        ("double", claim("double", result("gpu-0"))),
        ("last", claim("last", result("gpu-3"))),
    ]
    told: dict[str, Outcome] = {}
    engine.prepare_all(jobs, told.__setitem__)
    assert [uid for uid, outcome in told.items() if isinstance(outcome, Done)] == ["old", "new", "last"]
    assert "in use by ResourceClaim ml/claim-new" in str(told["double"])
    assert "gpu-2 does not answer" in str(told["failing"])
    assert bench.held() == {"gpu-0": "new", "gpu-1": "old", "gpu-3": "last"}
    gone: dict[str, PrepareError | None] = {}
    driver.stuck = "gpu-3"
    engine.unprepare_all(["old", "never", "last"], gone.__setitem__)
    assert (gone["old"], gone["never"], str(gone["last"])) == (None, None, "gpu-3 is busy")
    assert bench.states() == {"new": "completed", "last": "started"}


def test_a_slow_device_keeps_only_the_claims_behind_it_waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, driver = bench.engine()
    told: dict[str, Outcome] = {}
    known_when_begun: dict[str, list[str]] = {}
    prepare = driver.prepare

    def slow(wanted: Claim) -> Iterable[PreparedDevice]:
        known_when_begun[wanted.uid] = list(told)
        time.sleep(0.11)
        return prepare(wanted)

    monkeypatch.setattr(driver, "prepare", slow)
    jobs = [(f"u{number}", claim(f"u{number}", result(f"gpu-{number}"))) for number in range(3)]
    engine.prepare_all(jobs, told.__setitem__)
    assert known_when_begun == {"u0": [], "u1": ["u0"], "u2": ["u0", "u1"]}


def test_metadata_for_containers(bench: Bench) -> None:
    engine, _ = bench.engine()
    template = {"resource.kubernetes.io/pod-claim-name": "pod-claim"}
    engine.prepare(claim("u", result("gpu-0", "main/big"), result("gpu-1", "main/big"), annotations=template), "u")
    mount = spec(bench, "u")["u_metadata_main"]["mounts"]
    host = bench.plugin / "dra-device-metadata" / "u" / "main" / f"{DRIVER}-metadata.json"
    inside = "/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/pod-claim/main"
    assert mount == [
        {"hostPath": str(host), "containerPath": f"{inside}/{DRIVER}-metadata.json", "options": ["ro", "bind"]}
    ]
    newest, older = map(json.loads, host.read_text().splitlines())
    assert newest["apiVersion"] == "metadata.resource.k8s.io/v1beta1"
    assert older == newest | {"apiVersion": "metadata.resource.k8s.io/v1alpha1"}
    assert newest["requests"] == [
        {
            "name": "main/big",
            "devices": [
                {
                    "driver": DRIVER,
                    "pool": NODE,
                    "name": name,
                    "attributes": {"model": {"string": "H100"}},
                    "networkData": {"interfaceName": f"if-{name}"},
                }
                for name in ("gpu-0", "gpu-1")
            ],
        }
    ]


@pytest.mark.parametrize(
    ("pools", "reason"),
    [
        ([Pool([]), Pool([])], "pool node-1: was discovered twice"),
        ([Pool([Device(name="a"), Device(name="a")])], "pool node-1: device a: was discovered twice"),
        ([Pool([Device(name="a")], parts={"a": "b"})], "pool node-1: parts: device b is not in the pool"),
    ],
)
def test_discoveries_that_make_no_sense(pools: list[Pool], reason: str) -> None:
    with pytest.raises(DiscoveryError) as caught:
        make_inventory(pools, NODE)
    assert str(caught.value).startswith(reason)
