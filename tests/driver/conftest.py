"""The helpers of this folder are importable by their names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The children that tests fork use nothing of gRPC, which must not stop them at the fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
sys.path.insert(0, str(Path(__file__).parent))
