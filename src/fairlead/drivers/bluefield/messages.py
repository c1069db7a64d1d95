"""Values to the messages of the agent's protocol, and back; both ends use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from fairlead.drivers.bluefield import agent_pb2 as pb
from fairlead.drivers.bluefield.agents import PortReport, Report
from fairlead.drivers.bluefield.functions import Function, Granted, Kind, Wanted

SERVICE: Final = "fairlead.dpu.v1.Agent"
KINDS: Final = ("pf", "vf", "sf")
TOKEN_KEY: Final = "authorization"
"""The key of the call's metadata that holds `Bearer TOKEN`."""


def function_message(function: Function) -> pb.Function:
    """To the wire."""
    return pb.Function(kind=function.kind, pf=function.pf, number=function.number)


def function_of(message: pb.Function) -> Function:
    """From the wire.

    Raises:
        ValueError: it is of no kind that we know.
    """
    if message.kind not in KINDS:
        raise ValueError(f"function: kind: {message.kind!r} is none of pf, vf, sf")
    return Function(cast(Kind, message.kind), message.pf, message.number)


def wanted_messages(wanted: Iterable[Wanted]) -> list[pb.Wanted]:
    """To the wire."""
    return [
        pb.Wanted(
            function=function_message(one.function),
            bridge=one.bridge,
            vlan=one.vlan,
            mac=one.mac,
            tx_max=one.tx_max,
        )
        for one in wanted
    ]


def wanted_of(messages: Iterable[pb.Wanted]) -> list[Wanted]:
    """From the wire. ValueError as `function_of`."""
    return [Wanted(function_of(one.function), one.bridge, one.vlan, one.mac, one.tx_max) for one in messages]


def granted_messages(granted: Iterable[Granted]) -> list[pb.Granted]:
    """To the wire."""
    return [
        pb.Granted(function=function_message(one.function), representor=one.representor, bridge=one.bridge)
        for one in granted
    ]


def granted_of(messages: Iterable[pb.Granted]) -> list[Granted]:
    """From the wire. ValueError as `function_of`."""
    return [Granted(function_of(one.function), one.representor, one.bridge) for one in messages]


def report_message(report: Report) -> pb.ReportReply:
    """To the wire."""
    return pb.ReportReply(
        protocol=report.protocol,
        version=report.version,
        boot_id=report.boot_id,
        serial=report.serial,
        bfb=report.bfb,
        firmware=report.firmware,
        eswitch=report.eswitch,
        ports=[pb.Port(function=function_message(one.function), representor=one.representor) for one in report.ports],
        bridges=report.bridges,
        offloads=report.offloads,
        services=report.services,
        claims=report.claims,
    )


def report_of(message: pb.ReportReply) -> Report:
    """From the wire. Functions of kinds that we do not know are left out: a newer agent may have more."""
    return Report(
        message.protocol,
        message.version,
        message.boot_id,
        message.serial,
        message.bfb,
        message.firmware,
        message.eswitch,
        tuple(
            PortReport(function_of(one.function), one.representor)
            for one in message.ports
            if one.function.kind in KINDS
        ),
        tuple(message.bridges),
        tuple(message.offloads),
        dict(message.services),
        tuple(message.claims),
    )
