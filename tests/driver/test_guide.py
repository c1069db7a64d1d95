"""The driver in docs/driver-kit.md works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from workshop import BOOT, claim, result

from fairlead.driver.cdi import SpecFolder
from fairlead.driver.engine import Engine
from fairlead.driver.inventory import make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.slices import Publication, problems_of
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store

GUIDE = Path(__file__).parent.parent.parent / "docs" / "driver-kit.md"


def test_the_driver_of_the_guide(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    kind = names["CounterCards"]
    assert isinstance(kind, type)
    driver = kind()
    log: list[str] = []
    specs = SpecFolder(driver.name, tmp_path / "cdi")
    steps = Steps(driver, specs, MetadataFolder(driver.name, tmp_path), lambda event, **fields: log.append(event))
    engine = Engine(driver, Store(tmp_path, BOOT), steps, lambda event, **fields: log.append(event))
    engine.inventory = make_inventory(driver.discover(), "node-1")
    assert problems_of(Publication(driver.name, "node-1", "u", True), engine.inventory.pools) == []
    (answer,) = engine.prepare(claim("u", result("card-0", driver=driver.name)), "u")
    assert answer.cdi_ids == ("k8s.cards.example.com/claim=u_0_card-0",)
    assert '"CARD=card-0"' in specs.path("u").read_text()
    engine.unprepare("u")
    assert list(specs.folder.iterdir()) == []
    assert log == []
