"""Network hardware: ports, virtual functions and RDMA devices, moved into pods.

fairlead node --driver network                                    # claims of DRANET (driver dra.net)
fairlead node --driver network=profile=sriov,objects=/etc/fairlead/networks   # claims of the SR-IOV driver

`discovery` finds (a pure function of the machine), `publish` describes, `wanted` reads configuration, `preparing` does
and undoes, `hook` is what runs on the node when a container starts. docs/drivers/network.md.
"""

from fairlead.drivers.network.configs import NetworkConfig, VfConfig
from fairlead.drivers.network.discovery import Network, Port, discover
from fairlead.drivers.network.door import Function, Link, Netlink
from fairlead.drivers.network.driver import NetworkDriver, make
from fairlead.drivers.network.rdma import RdmaDevice
from fairlead.drivers.network.settings import Settings, read_settings

__all__ = [
    "Function",
    "Link",
    "Netlink",
    "Network",
    "NetworkConfig",
    "NetworkDriver",
    "Port",
    "RdmaDevice",
    "Settings",
    "VfConfig",
    "discover",
    "make",
    "read_settings",
]
