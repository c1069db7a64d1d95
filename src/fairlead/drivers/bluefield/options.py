"""What an administrator says of a node's DPUs: a YAML file, given as `--driver bluefield=FILE`.

    dpus:
      - address: 0000:3b:00                  # of the DPU on this host, without the function
        agent: 192.168.100.2:8443            # or unix:/run/fairlead/dpu.sock
        ca: /etc/fairlead/dpu/ca.crt         # mutual TLS
        certificate: /etc/fairlead/dpu/tls.crt
        key: /etc/fairlead/dpu/tls.key
        serverName: dpu-agent                # of the agent's certificate; without it the host of `agent`
        token: /etc/fairlead/dpu/token       # a file; instead of TLS only on this machine, or with it
    sfs: 16                                  # sub-functions a port that may be made
    firstSF: 1000
    binding: true                            # pods wait with their binding until the DPU is ready
    lostAfter: 15                            # seconds without an answer until the DPU's devices get a taint

Without a file DPUs are found, and none has an agent. Unknown fields are errors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from msgspec import Meta


class AgentOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One DPU and its agent."""

    address: Annotated[str, Meta(pattern=r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}$")]
    agent: str
    ca: str = ""
    certificate: str = ""
    key: str = ""
    token: str = ""
    server_name: str = ""
    """The name that the agent's certificate is for; empty for the host of `agent`."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The file."""

    dpus: tuple[AgentOptions, ...] = ()
    sfs: Annotated[int, Meta(ge=0, le=400)] = 16
    first_sf: Annotated[int, Meta(ge=0)] = msgspec.field(default=1000, name="firstSF")
    binding: bool = True
    lost_after: Annotated[float, Meta(gt=0)] = 15.0


def read_options(text: str) -> Options:
    """The options of a file's content.

    Raises:
        ValueError: they cannot be used; the text names the field.
    """
    try:
        options = msgspec.convert(yaml.safe_load(text) or {}, Options)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    addresses = [one.address for one in options.dpus]
    for index, one in enumerate(options.dpus):
        where = f"dpus[{index}]"
        if addresses.count(one.address) > 1:
            raise ValueError(f"{where}.address: {one.address} stands twice")
        if bool(one.certificate) != bool(one.key) or (one.certificate and not one.ca):
            raise ValueError(f"{where}: certificate, key and ca belong together")
        if not one.ca and not (is_local(one.agent) and (one.agent.startswith("unix:") or one.token)):
            raise ValueError(f"{where}.agent: {one.agent} needs TLS (ca, certificate, key), or is local with a token")
    return options


def is_local(address: str) -> bool:
    """Whether an agent's address leaves this machine: a Unix socket or loopback do not."""
    return address.startswith("unix:") or bool(re.match(r"(localhost|127\.[0-9.]+|\[::1\]):[0-9]+$", address))


def secret(path: str) -> bytes:
    """The content of a file with a secret or certificate. OSError where it cannot be read."""
    return Path(path).read_bytes()
