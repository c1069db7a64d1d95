"""docs/write-a-driver.md: its steps work as they stand in examples/drivers, and it shows what stands there."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from types import ModuleType

import pytest
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.driver.testing import LocalNode, PrepareError

ROOT = Path(__file__).parent.parent.parent
STEPS = ROOT / "examples" / "drivers"
sys.path.append(str(STEPS))
TEXT = (ROOT / "docs" / "write-a-driver.md").read_text()


def load(name: str) -> ModuleType:
    """A step as a module."""
    return importlib.import_module(name)


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """Two cards."""
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "card-0").write_text("16\n")
    (folder / "card-1").write_text("8\n")
    return folder


@pytest.fixture
def start(cards: Path, tmp_path: Path) -> Callable[[str], LocalNode]:
    """A node that runs a step's driver."""
    return lambda name: LocalNode(load(name).Cards(str(cards)), tmp_path / name)


Start = Callable[[str], LocalNode]


def test_every_step_is_in_the_text_and_shown_as_it_is() -> None:
    names = sorted(path.name for path in STEPS.glob("step_*.py"))
    assert sorted(set(re.findall(r"\(\.\./examples/drivers/(step_\w+\.py)\)", TEXT))) == names
    for section in TEXT.split("\n## ")[1:]:
        for code in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
            (name,) = re.findall(r"\(\.\./examples/drivers/(step_\w+\.py)\)", section)
            assert without_margins(code) in without_margins((STEPS / name).read_text())


def without_margins(code: str) -> str:
    """The lines without indentation, which the formatter takes from code in the text."""
    return "\n".join(line.strip() for line in code.splitlines() if line.strip())


def test_the_claims_are_valid() -> None:
    done = CliRunner().invoke(main, ["validate", "-f", str(STEPS / "claims.yaml")])
    assert (done.exit_code, done.output) == (0, "7 objects are valid\n")


@pytest.mark.parametrize("name", sorted(path.stem for path in STEPS.glob("step_*.py")))
def test_a_claim_of_each_step_leaves_nothing(name: str, start: Start, cards: Path) -> None:
    node = start(name)
    before = sorted(cards.iterdir())
    consumed = {"memory": "4Gi"} if "sharing" in name else None
    claim = node.claim("card-0", consumed=consumed)
    node.prepare(claim)
    node.unprepare(claim)
    node.unprepare(claim)
    node.kill_while_preparing(node.claim("card-0", "card-1", consumed=consumed), after=1)
    assert node.leftovers() == []
    assert sorted(cards.iterdir()) == before
    assert node.events[-1][0] == "undone what was left half-way"


def test_devices(start: Start) -> None:
    devices = start("step_01_devices").published()
    assert {name: str(device.capacity["memory"].value) for name, device in devices.items()} == {
        "card-0": "16Gi",
        "card-1": "8Gi",
    }


def test_prepare(start: Start, cards: Path) -> None:
    node = start("step_02_prepare")
    claim = node.claim("card-1", request="main")
    prepared = node.prepare(claim)
    assert prepared.env == {"CARD_MAIN": "card-1"}
    assert [one.path for one in prepared.device_nodes] == ["/dev/cards/card-1"]
    assert [one.container_path for one in prepared.mounts] == ["/run/cards/card-1"]
    in_use = cards.parent / "cards-in-use"
    assert [path.name for path in in_use.iterdir()] == ["card-1"]
    node.reboot()
    assert list(in_use.iterdir()) == []
    (cards / "card-0").unlink()
    with pytest.raises(PrepareError, match="card-0: does not answer"):
        node.prepare(node.claim("card-1", "card-0"))
    assert list(in_use.iterdir()) == []


def test_configuration(start: Start) -> None:
    node = start("step_03_configuration")
    head = {"apiVersion": "cards.example.com/v1", "kind": "CardConfig"}
    assert node.prepare(node.claim("card-0")).env == {"CARD_MODE": "normal", "CARD_CLOCK": "1000"}
    fast = node.claim("card-1", config=head | {"mode": "fast", "clockMhz": 1500})
    assert node.prepare(fast).env == {"CARD_MODE": "fast", "CARD_CLOCK": "1500"}
    for wrong, reason in (({"mode": "slow"}, r"\$.mode"), ({"clock": 5}, "unknown field `clock`")):
        with pytest.raises(PrepareError, match=reason):
            node.prepare(node.claim("card-1", config=head | wrong))


def test_partitions(start: Start) -> None:
    node = start("step_04_partitions")
    halves = node.claim("card-0-a", "card-0-b")
    node.prepare(halves)
    with pytest.raises(PrepareError, match="more of counter engines of card-0"):
        node.prepare(node.claim("card-0"))
    node.prepare(node.claim("card-1"))
    node.unprepare(halves)
    node.prepare(node.claim("card-0"))


def test_sharing(start: Start) -> None:
    node = start("step_05_sharing")
    for share, memory in (("one", "4Gi"), ("two", "8Gi")):
        claim = node.claim("card-0", share=share, consumed={"memory": memory})
        assert node.prepare(claim).env == {"CARD": "card-0", "CARD_MEMORY": memory}


def test_health(start: Start, cards: Path) -> None:
    node = start("step_06_health")
    (cards / "card-1").write_text("broken")
    (taint,) = node.published()["card-1"].taints
    assert (taint.key, taint.effect) == ("cards.example.com/unhealthy", "NoExecute")
    (cards / "card-1").write_text("8")
    assert node.published(after=30)["card-1"].taints
    assert not node.published(after=60)["card-1"].taints


def test_watch(start: Start, cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("step_07_watch"), "EVERY", 0.01)
    stop, told = Event(), Event()
    node = start("step_07_watch")
    claim = node.claim("card-1")
    node.prepare(claim)
    watcher = Thread(target=node.driver.watch, args=(told.set, stop))
    watcher.start()
    assert told.wait(10)
    told.clear()
    (cards / "card-1").unlink()
    assert told.wait(10)
    stop.set()
    watcher.join(10)
    assert not watcher.is_alive()
    assert list(node.published()) == ["card-0"]
    node.unprepare(claim)
    assert node.leftovers() == []


def test_fabric(start: Start) -> None:
    node = start("step_08_fabric")
    (item,) = node.slices()
    assert (item.spec.pool.name, item.spec.node_name, item.metadata.owner_references) == ("r1-fabric", None, [])
    claim = node.claim("card-0")
    assert claim.status.allocation is not None
    assert claim.status.allocation.devices.results[0].pool == "r1-fabric"
    assert node.prepare(claim).env == {"CARD": "card-0"}
