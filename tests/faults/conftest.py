"""Makes the parts of the fault runs importable here, and the workloads of the controller's tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "cluster")]
