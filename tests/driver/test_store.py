"""The state file: what it survives, what it refuses and what it says then, and two instances that share it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from workshop import BOOT, Bench, Interrupting, claim, result

from fairlead.driver.author import PrepareError
from fairlead.driver.record import Record
from fairlead.driver.store import Store, StoreError


def header_and_body(path: Path) -> tuple[dict[str, object], bytes]:
    head, _, body = path.read_bytes().partition(b"\n")
    return json.loads(head), body


def write(path: Path, body: bytes, **header: object) -> None:
    """A file with a right checksum, as another version might write it."""
    head = {"format": 1, "readers": 1, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()} | header
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(head).encode() + b"\n" + body)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "plugin", BOOT, patience=0.1)


def put(store: Store, *uids: str) -> None:
    with store.locked() as ledger:
        for uid in uids:
            ledger.save(ledger.prepared.having(Record(uid=uid, state="completed", name=uid)))


def test_a_missing_file_is_an_empty_one(store: Store) -> None:
    assert store.read().records() == []


def test_records_come_back(store: Store) -> None:
    put(store, "a", "b")
    again = Store(store.path.parent, BOOT)
    assert [(record.uid, record.state) for record in again.read().records()] == [("a", "completed"), ("b", "completed")]


def test_after_a_reboot_nothing_is_prepared(store: Store) -> None:
    put(store, "a")
    after = Store(store.path.parent, "boot-2")
    assert [record.state for record in after.read().records()] == ["started"]
    put(after, "b")
    assert [record.state for record in Store(store.path.parent, "boot-2").read().records()] == ["started", "completed"]


def test_fields_of_a_newer_version_are_kept(store: Store) -> None:
    new = b'{ "uid":"a", "state":"completed", "novelty":{"deep":[1, 2.50]} }'
    write(store.path, b'{"bootID":"boot-1","claims":{"a":' + new + b'},"addition":"x"}', format=7, another=1)
    assert [record.uid for record in store.read().records()] == ["a"]
    put(store, "b")
    _, body = header_and_body(store.path)
    assert json.loads(body)["addition"] == "x"
    assert new in body  # not even written in another way


def test_records_with_the_least_fields_are_read(store: Store) -> None:
    """As the oldest version of the format would write them."""
    write(store.path, b'{"claims":{"a":{"uid":"a","state":"completed"}}}')
    assert [(record.uid, record.devices) for record in store.read().records()] == [("a", [])]


def test_a_newer_format_is_refused_unchanged(store: Store) -> None:
    write(store.path, b"{}", format=9, readers=2)
    before = store.path.read_bytes()
    with pytest.raises(StoreError, match=r"format 9 by a newer version .* start the newer version again, or drain"):
        put(store, "a")
    assert store.path.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-5], "bytes where"),
        (lambda data: data + b"x", "bytes where"),
        (lambda data: data.replace(b"completed", b"complexed"), "checksum does not match"),
        (lambda data: b"\0" * len(data), "has no header"),
        (lambda data: b"", "has no header"),
    ],
    ids=["cut", "longer", "changed", "zeroed", "empty"],
)
def test_a_damaged_file_is_refused_unchanged_with_what_to_do(store: Store, damage: object, reason: str) -> None:
    put(store, "a")
    assert callable(damage)
    store.path.write_bytes(damage(store.path.read_bytes()))
    before = store.path.read_bytes()
    with pytest.raises(StoreError) as caught:
        put(Store(store.path.parent, BOOT), "b")
    assert reason in str(caught.value)
    assert "drain the node, then move the file away (mv " in str(caught.value)
    assert store.path.read_bytes() == before


def test_what_a_crash_left_beside_the_file_is_no_trouble(store: Store) -> None:
    put(store, "a")
    (store.path.parent / ".prepared.json.tmp").write_bytes(b"half")
    put(store, "b")
    assert [record.uid for record in store.read().records()] == ["a", "b"]


def test_a_lock_that_another_instance_holds(store: Store) -> None:
    other = Store(store.path.parent, BOOT)
    with other.locked(), pytest.raises(StoreError, match="another instance of the driver has held the lock"):
        put(store, "a")
    put(store, "a")


def test_the_file_is_read_again_under_the_lock(store: Store) -> None:
    """Two instances add claims at the same time; none is lost."""
    other = Store(store.path.parent, BOOT)
    uids = [[f"{one}-{number}" for number in range(20)] for one in "xy"]
    threads = [
        threading.Thread(target=lambda s=instance, u=names: [put(s, uid) for uid in u])  # type: ignore[misc]
        for instance, names in zip((Store(store.path.parent, BOOT), other), uids, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.uid for record in store.read().records()} == {*uids[0], *uids[1]}


def test_the_lock_of_a_killed_instance_is_free(store: Store) -> None:
    child = os.fork()
    if child == 0:
        with store.locked():
            Interrupting(1).remove(store.path)
        os._exit(0)
    os.waitpid(child, 0)
    put(store, "a")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    ).returncode
    if made != 0:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    """Kubelet is told what to do, the file says what it said, and it goes on once there is room."""
    bench = Bench(small_disk)
    engine, _ = bench.engine()
    engine.prepare(claim("a", result("gpu-1")), "a")
    filler = small_disk / "filler"
    room = os.statvfs(small_disk)
    filler.write_bytes(b"x" * (room.f_bavail * room.f_frsize))
    with pytest.raises((PrepareError, StoreError), match="No space left on device: make room on that filesystem"):
        engine.prepare(claim("b", result("gpu-2")), "b")
    assert bench.states() == {"a": "completed"}
    filler.unlink()
    engine.recover()
    engine.prepare(claim("b", result("gpu-2")), "b")
    assert bench.states() == {"a": "completed", "b": "completed"}
    assert set(bench.held().values()) == {"a", "b"}


def test_a_read_only_disk(small_disk: Path) -> None:
    bench = Bench(small_disk)
    engine, _ = bench.engine()
    engine.prepare(claim("a", result("gpu-1")), "a")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        with pytest.raises((PrepareError, StoreError), match="Read-only file system: mount it writable"):
            engine.prepare(claim("b", result("gpu-2")), "b")
        with pytest.raises((PrepareError, StoreError), match="Read-only file system: mount it writable"):
            engine.unprepare("a")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    engine.unprepare("a")
    assert bench.states() == {}
    assert bench.held() == {}


def test_a_read_only_cdi_folder(small_disk: Path, tmp_path: Path) -> None:
    """What was prepared is undone when the runtime cannot be told of it."""
    bench = Bench(tmp_path / "node")
    bench.cdi = small_disk
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    engine, _ = bench.engine()
    with pytest.raises(PrepareError, match="Read-only file system: mount it writable"):
        engine.prepare(claim("a", result("gpu-1")), "a")
    assert bench.states() == {}
    assert bench.held() == {}
    assert bench.metadata() == []
