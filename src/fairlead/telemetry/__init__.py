"""What every long-running process of ours shows of itself: a log, metrics, probes.

The metrics themselves and the meaning of ready are with those whom they are about: `controller`, `controller.lock`,
`driver`. Knows nothing of Kubernetes.
"""

from fairlead.telemetry.journal import Format, Journal, Level
from fairlead.telemetry.probes import ListenError, Probes, listen, split_address
from fairlead.telemetry.registry import DURATIONS, new_registry

__all__ = [
    "DURATIONS",
    "Format",
    "Journal",
    "Level",
    "ListenError",
    "Probes",
    "listen",
    "new_registry",
    "split_address",
]
