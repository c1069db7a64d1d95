"""Runs the agent: puts right what was left, answers, and goes on until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fairlead.drivers.bluefield.agent.core import AgentCore, Log
from fairlead.drivers.bluefield.agent.identity import make_report
from fairlead.drivers.bluefield.agent.service import Tls, start
from fairlead.drivers.bluefield.agent.state import StateError, StateFile
from fairlead.drivers.bluefield.commands import run as run_program
from fairlead.drivers.bluefield.devlink_command import DevlinkCommand
from fairlead.drivers.bluefield.network import NetworkCommands
from fairlead.drivers.bluefield.side import EswitchSide
from fairlead.hardware import LiveFiles

_AGAIN: Final = 5.0
"""Seconds between tries to put right what a crash or a start of the DPU left."""
_GRACE: Final = 20.0


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How the agent runs."""

    listen: str
    """unix:PATH or HOST:PORT."""
    state: Path
    token: Path | None = None
    """The file with the token that callers must give."""
    tls: Tls | None = None
    services: Mapping[str, int] = field(default_factory=dict)
    program: str = ""
    """Sets services up: called with apply or release, UID, service, amount."""
    root: Path = Path("/")
    bridges: tuple[str, ...] = ()
    """The bridges that the host may use; all where none are named."""


def serve(options: AgentOptions, log: Log, stop: threading.Event) -> None:
    """Answers until `stop` is set; calls that are under way come to their end.

    Raises:
        ListenError: it cannot listen.
        OSError: a certificate cannot be read.
    """
    devlink, network = DevlinkCommand(), NetworkCommands()
    side = EswitchSide(devlink, network, bridges=options.bridges)

    def set_up(verb: str, uid: str, name: str, amount: int) -> None:
        if options.program:
            run_program([options.program, verb, uid, name, str(amount)])

    core = AgentCore(side, StateFile(options.state), options.services, set_up, log)
    recovering = _recover(core, log)
    files = LiveFiles(options.root)
    server = start(options.listen, core, lambda: make_report(files, devlink, side, core), options.token, options.tls)
    log("listening", address=options.listen)
    while not stop.wait(_AGAIN if recovering else None):
        recovering = _recover(core, log)
    server.stop(_GRACE).wait()


def _recover(core: AgentCore, log: Log) -> bool:
    """Whether something is left to be put right."""
    try:
        problems = core.recover()
    except StateError as error:
        problems = [str(error)]
    for problem in problems:
        log("could not be put right", problem=problem)
    return bool(problems)
