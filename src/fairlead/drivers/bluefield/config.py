"""What users may configure for functions of a DPU, in a DeviceClass or a claim.

config:
  - requests: [vf]
    opaque:
      driver: dpu.fairlead.dev
      parameters: {apiVersion: dpu.fairlead.dev/v1, kind: FunctionConfig, bridge: br-tenant, interface: net1}
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from fairlead.driver import Config

DRIVER = "dpu.fairlead.dev"


class FunctionConfig(Config, frozen=True):
    """One function: how the DPU connects it, and how the container sees it."""

    api_version: ClassVar[str] = f"{DRIVER}/v1"
    bridge: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,15}$")] = ""
    """The bridge on the side of the e-switch that its representor becomes a port of; empty leaves it as it is."""
    vlan: Annotated[int, Meta(ge=0, le=4094)] = 0
    """The tag of its frames on that bridge; 0 for none."""
    mac: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5})?$")] = ""
    """Its hardware address; empty for its own."""
    interface: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,15}$")] = ""
    """The interface's name in the container; empty for that of the host."""
    rdma: bool = True
    """Whether the container gets the device nodes for RDMA, where the function has them."""
