"""The driver in docs/driver-kit.md works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from fairlead.driver import DeviceNode
from fairlead.driver.testing import LocalNode

GUIDE = Path(__file__).parent.parent.parent / "docs" / "driver-kit.md"


def test_the_driver_of_the_guide(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    kind = names["CounterCards"]
    assert isinstance(kind, type)
    node = LocalNode(kind(), tmp_path)
    claim = node.claim("card-0")
    prepared = node.prepare(claim)
    assert prepared.cdi_ids == (f"k8s.cards.example.com/claim={claim.metadata.uid}_0_card-0",)
    assert prepared.env == {"CARD": "card-0"}
    assert prepared.device_nodes == [DeviceNode(path="/dev/card", host_path="/dev/null")]
    node.unprepare(claim)
    assert node.leftovers() == []
    assert node.events == []
