"""The reference agent: runs on a DPU's Linux, and does there what the driver on the host asks.

`run` puts it together, `service` is its gRPC, `core` what it does on `state` and the e-switch (`..side`), `identity`
what it reports.
"""

from fairlead.drivers.bluefield.agent.run import AgentOptions, serve
from fairlead.drivers.bluefield.agent.service import ListenError, Tls

__all__ = ["AgentOptions", "ListenError", "Tls", "serve"]
