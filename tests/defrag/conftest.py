"""Makes the helpers of placement and command line tests importable here."""

from __future__ import annotations

import sys
from pathlib import Path

for name in ("placement", "cli", "defrag"):
    sys.path.insert(0, str(Path(__file__).parent.parent / name))
