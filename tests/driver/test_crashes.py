"""A driver that is killed at any step: its next start puts everything right, nothing is prepared twice, nothing leaks.

Some 700 ends in all. Each test forks a child for each step (and for pairs of steps, where the child that puts things
right is killed, too), which is killed with SIGKILL before the step, or half-way through a write. The hardware is files,
so it survives.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workshop import BOOT, Bench, Interrupting, claim, result

from fairlead.driver.author import PrepareError
from fairlead.driver.engine import Done, Outcome
from fairlead.driver.files import Files
from fairlead.driver.store import StoreError

A = claim("a", result("gpu-0"), result("gpu-1", "nic/fast"))
B = claim("b", result("gpu-2"), result("gpu-3", "nic"))
Work = Callable[[Bench, Files | None], None]


def prepare_two(bench: Bench, files: Files | None) -> None:
    engine, _ = bench.engine(files=files)
    engine.recover()
    engine.prepare(A, "a")
    engine.prepare(B, "b")


def prepare_together(bench: Bench, files: Files | None) -> None:
    engine, _ = bench.engine(files=files)
    engine.prepare_all([("a", A), ("b", B)], lambda uid, outcome: None)


def unprepare_together(bench: Bench, files: Files | None) -> None:
    engine, _ = bench.engine(files=files)
    engine.unprepare_all(["a", "b"], lambda uid, outcome: None)


def unprepare_one(bench: Bench, files: Files | None) -> None:
    engine, _ = bench.engine(files=files)
    engine.recover()
    engine.unprepare("a")


def replace_one(bench: Bench, files: Files | None) -> None:
    """The claim was allocated anew without having been unprepared."""
    engine, _ = bench.engine(files=files)
    engine.prepare(claim("a", result("gpu-1"), result("gpu-0", "nic")), "a")


def start_again(bench: Bench, files: Files | None) -> None:
    engine, _ = bench.engine(files=files)
    engine.recover()


def start_after_reboot(bench: Bench, files: Files | None) -> None:
    engine, _ = bench.engine(boot="boot-2", files=files)
    engine.recover()


def killed(work: Work, bench: Bench, at: int) -> bool:
    """Whether a child that does the work was killed at the step; else it came to the end."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            work(bench, Interrupting(at))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed"
    return os.WIFSIGNALED(status)


def killed_at_each_step(work: Work, bench: Bench, fresh: Callable[[], None]) -> Iterator[int]:
    for at in range(1, 1000):
        fresh()
        if not killed(work, bench, at):
            return
        yield at


def assert_whole(bench: Bench, boot: str = BOOT) -> set[str]:
    """Store, hardware, CDI and metadata say the same, nothing is half-way; the prepared claims."""
    states = bench.states(boot)
    assert set(states.values()) <= {"completed"}
    assert set(bench.held().values()) == set(states)
    assert all("." not in name for name in bench.held())
    assert bench.specs() == [f"k8s.gpu.example.com-claim_{uid}.json" for uid in sorted(states)]
    assert bench.metadata() == sorted(states)
    return set(states)


def assert_usable(bench: Bench) -> None:
    """Both claims can be prepared and unprepared as if nothing had been."""
    engine, _ = bench.engine()
    assert engine.recover() == []
    engine.prepare(A, "a")
    engine.prepare(B, "b")
    assert assert_whole(bench) == {"a", "b"}
    engine.unprepare("a")
    engine.unprepare("b")
    assert assert_whole(bench) == set()


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where possible: thousands of small files are made and removed."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "node")


def nothing(bench: Bench) -> Callable[[], None]:
    def fresh() -> None:
        shutil.rmtree(bench.root)
        bench.hardware.mkdir(parents=True)

    return fresh


def two_prepared(bench: Bench, tmp_path: Path) -> Callable[[], None]:
    prepare_two(bench, None)
    saved = tmp_path / "saved"
    shutil.copytree(bench.root, saved)

    def fresh() -> None:
        shutil.rmtree(bench.root)
        shutil.copytree(saved, bench.root)

    return fresh


def test_prepare(bench: Bench) -> None:
    steps = 0
    for _ in killed_at_each_step(prepare_two, bench, nothing(bench)):
        steps += 1
        start_again(bench, None)
        assert_whole(bench)
        assert_usable(bench)
    assert steps > 50


def test_prepare_asked_again_without_a_start(bench: Bench) -> None:
    """The other instance of a rolling update goes on where the killed one was."""
    for _ in killed_at_each_step(prepare_two, bench, nothing(bench)):
        engine, _ = bench.engine()
        engine.prepare(A, "a")
        engine.prepare(B, "b")
        engine.recover()  # leftovers beside files are removed by a start only
        assert assert_whole(bench) == {"a", "b"}


def test_unprepare(bench: Bench, tmp_path: Path) -> None:
    steps = 0
    for _ in killed_at_each_step(unprepare_one, bench, two_prepared(bench, tmp_path)):
        steps += 1
        start_again(bench, None)
        assert "b" in assert_whole(bench)
        engine, _ = bench.engine()
        engine.unprepare("a")
        assert assert_whole(bench) == {"b"}
    assert steps > 15


def test_prepare_and_unprepare_of_claims_together(bench: Bench, tmp_path: Path) -> None:
    for _ in killed_at_each_step(prepare_together, bench, nothing(bench)):
        start_again(bench, None)
        assert assert_whole(bench) in (set(), {"a", "b"})
        assert_usable(bench)
    for _ in killed_at_each_step(unprepare_together, bench, two_prepared(bench, tmp_path)):
        start_again(bench, None)
        assert assert_whole(bench) in (set(), {"a", "b"})
        assert_usable(bench)


def test_prepare_for_other_devices(bench: Bench, tmp_path: Path) -> None:
    for _ in killed_at_each_step(replace_one, bench, two_prepared(bench, tmp_path)):
        start_again(bench, None)
        assert "b" in assert_whole(bench)
        assert_usable(bench)


def test_reboot(bench: Bench, tmp_path: Path) -> None:
    """After a reboot nothing is prepared, and the files in /var/run are gone."""
    saved = two_prepared(bench, tmp_path)

    def fresh() -> None:
        saved()
        shutil.rmtree(bench.cdi)

    for _ in killed_at_each_step(start_after_reboot, bench, fresh):
        start_after_reboot(bench, None)
        assert assert_whole(bench, "boot-2") == set()


@pytest.mark.parametrize("part", [0, 2])
def test_killed_again_while_putting_right(bench: Bench, tmp_path: Path, part: int) -> None:
    """Every step of the start after every fourth step of preparing, in two parts of some 150 ends each."""
    pairs = 0
    saved = tmp_path / "half-way"
    for first in killed_at_each_step(prepare_two, bench, nothing(bench)):
        if first % 4 != part:
            continue
        shutil.copytree(bench.root, saved)

        def half_way() -> None:
            shutil.rmtree(bench.root)
            shutil.copytree(saved, bench.root)

        for _ in killed_at_each_step(start_again, bench, half_way):
            pairs += 1
            start_again(bench, None)
            assert_whole(bench)
        shutil.rmtree(saved)
    assert pairs > 100


def test_a_step_that_fails_for_claims_together(bench: Bench) -> None:
    """What is told of each claim is what is so afterwards."""
    for at in range(1, 1000):
        nothing(bench)()
        files = Interrupting(at, errno.ENOSPC)
        engine, _ = bench.engine(files=files)
        told: dict[str, Outcome] = {}
        try:
            engine.prepare_all([("a", A), ("b", B)], told.__setitem__)
        except StoreError:
            assert told == {}
        states = bench.states()
        for uid, outcome in told.items():
            assert (states.get(uid) == "completed") == isinstance(outcome, Done)
        assert "completed" not in states.values() or told
        if files.steps < at:
            assert list(states.values()) == ["completed", "completed"]
            return
        engine, _ = bench.engine()
        engine.recover()
        assert_whole(bench)
        assert_usable(bench)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_step_that_fails(bench: Bench, error: int) -> None:
    """A full or read-only disk at any one step: kubelet is told, and afterwards all is as if it had not been tried."""
    told = 0
    for at in range(1, 1000):
        nothing(bench)()
        files = Interrupting(at, error)
        engine, _ = bench.engine(files=files)
        words = ""
        try:
            prepare_two(bench, files)
        except (PrepareError, StoreError) as problem:
            told += 1
            words = str(problem)
        if files.steps < at:
            assert not words
            break
        assert os.strerror(error) in words
        engine, _ = bench.engine()
        engine.recover()
        assert_whole(bench)
        assert_usable(bench)
    assert told > 40
