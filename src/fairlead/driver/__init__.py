"""The kit for DRA drivers: the author writes a `Driver`, the kit does what every driver must do.

What an author needs leaves here: `Driver` with the values that it takes and returns (`author`, `cdi`, `config`,
`record`). `testing` is a node in a folder for a driver's own tests, `template` what `fairlead driver new` writes.
`serve` runs drivers (`node`); it needs the extra `driver` (gRPC) and is imported when it is asked for, so that tests of
drivers do without.

Below: `engine` prepares, on `store` (what is prepared), `cdi` and `metadata` (what containers see), `claims` and
`overlap` (checks). `plugin` joins it to the event loop, `server` and `services` to kubelet, `publisher` with the pure
plan in `slices` to the API server; `metrics` counts what they do. docs/decisions/013-driver-kit.md has the reasons.
"""

from fairlead.driver.author import (
    Claim,
    ClaimDevice,
    Driver,
    Effect,
    Health,
    Held,
    Pool,
    PreparedDevice,
    PrepareError,
    Readiness,
)
from fairlead.driver.cdi import DeviceNode, Edits, Hook, IntelRdt, Mount, NetDevice
from fairlead.driver.config import Config
from fairlead.driver.record import DeviceStatus
from fairlead.driver.watching import look_for_changes

__all__ = [
    "Claim",
    "ClaimDevice",
    "Config",
    "DeviceNode",
    "DeviceStatus",
    "Driver",
    "Edits",
    "Effect",
    "Health",
    "Held",
    "Hook",
    "IntelRdt",
    "Mount",
    "NetDevice",
    "Pool",
    "PrepareError",
    "PreparedDevice",
    "Readiness",
    "look_for_changes",
]
