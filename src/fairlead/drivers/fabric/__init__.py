"""Devices behind a fabric, attached to nodes when they are allocated: composition managers that speak Redfish.

    fairlead node --shared-pools --driver fabric=CONFIG.yaml    # once for the cluster: publishes, attaches, detaches
    fairlead node --driver fabric=CONFIG.yaml                   # on each node: prepares what is attached

`options` is the configuration, `redfish` the door to managers. `boxes` says what managers have in common, `blocks` and
`connections` are the two ways of composition. `planning` decides, purely, what to attach and detach; `devices` makes
pools of units; `host` is the node's side; `driver` joins them.
"""

from fairlead.drivers.fabric.driver import FabricDriver, make
from fairlead.drivers.fabric.options import Options, read_options
from fairlead.drivers.fabric.redfish import Redfish

__all__ = ["FabricDriver", "Options", "Redfish", "make", "read_options"]
