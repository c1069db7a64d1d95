"""The real netlink: read with pyroute2 (the extra `network`), which is imported when something is asked.

What moves and configures interfaces is the hook's own code, for it must also run where no library is.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Final

from fairlead.drivers.network.door import Function, Link, Netlink
from fairlead.drivers.network.hook import rtnetlink
from fairlead.drivers.network.hook.work import Before, WorkError, remember, take_back
from fairlead.hardware import HardwareError

_ENCAPSULATIONS: Final = {1: "ether", 32: "infiniband", 772: "loopback"}
_STATES: Final = ("auto", "enable", "disable")
_WITH_FUNCTIONS: Final = 1
_QINQ: Final = 0x88A8
_GLOBAL: Final = 0
_LOOK: Final = 0.5
_NO_SWITCH: Final = (errno.ENODEV, errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL)


class LiveNetlink(Netlink):
    """Answers from the kernel."""

    def links(self) -> list[Link]:
        """All interfaces of our namespace, with their addresses and virtual functions."""
        with _opened() as netlink:
            addresses: dict[int, list[str]] = {}
            for one in netlink.get_addr():
                if one["scope"] == _GLOBAL:
                    at = one.get("local") or one.get("address")
                    addresses.setdefault(one["index"], []).append(f"{at}/{one['prefixlen']}")
            return [
                _link(one, tuple(addresses.get(one["index"], ())))
                for one in netlink.get_links(ext_mask=_WITH_FUNCTIONS)
            ]

    def defaults(self) -> list[int]:
        """Of the tables that the kernel uses for all traffic."""
        with _opened() as netlink:
            found: set[int] = set()
            for one in netlink.get_routes():
                if one["dst_len"] == 0 and one["type"] == 1 and one.get("table") in (253, 254):
                    paths = one.get("multipath") or ()
                    found |= {hop["oif"] for hop in paths} | ({one.get("oif")} - {None})
            return sorted(found)

    def switch_mode(self, address: str) -> str:
        """Empty, too, where the kernel has no devlink."""
        with _library():
            from pyroute2 import DL
            from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
            from pyroute2.netlink.devlink import DEVLINK_NAMES, devlinkcmd

            question = devlinkcmd()
            question["cmd"] = DEVLINK_NAMES["DEVLINK_CMD_ESWITCH_GET"]
            question["attrs"] = [("DEVLINK_ATTR_BUS_NAME", "pci"), ("DEVLINK_ATTR_DEV_NAME", address)]
            try:
                with DL() as devlink:
                    answers = list(
                        devlink.nlm_request(question, msg_type=devlink.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK)
                    )
            except Exception as error:
                if getattr(error, "code", None) in _NO_SWITCH:
                    return ""
                raise
            modes = [one.get("eswitch_mode") for one in answers]
            return {0: "legacy", 1: "switchdev"}.get(modes[0], "") if modes else ""

    def look(self, name: str) -> Before:
        """With its addresses and routes."""
        with _interface(name) as (here, link):
            return remember(link, here)

    def mark(self, name: str, marker: str) -> None:
        """Nothing happens where it is marked."""
        with _interface(name) as (here, link):
            if link.alias != marker:
                here.set(link.index, alias=marker)

    def make_child(self, parent: str, marker: str) -> None:
        """Its name on the node says nothing: it moves at once."""
        with _interface(parent) as (here, link):
            if here.aliased(marker) is None:
                here.add_macvlan(link.index, marker)

    def take_back(self, order: Path) -> str:
        """Waits a while for hardware whose namespace is gone."""
        try:
            return take_back(order)
        except WorkError as error:
            raise HardwareError(str(error)) from None

    def set_function(self, parent: str, now: Function, wanted: Function) -> None:
        """One message a setting, so that an error names what the card refuses."""
        with _opened() as netlink:
            found = netlink.link_lookup(ifname=parent)
            if not found:
                raise HardwareError(f"{parent}: is not on the node", "ENODEV")
            for what, value in _settings(now, wanted):
                try:
                    netlink.link("set", index=found[0], vf={"vf": wanted.number, **value})
                except Exception as error:
                    reason = getattr(error, "code", None)
                    name = errno.errorcode.get(reason, "") if isinstance(reason, int) else ""
                    raise HardwareError(f"{parent}: VF {wanted.number}: {what}: {error}", name) from None

    def wait(self, stop: Event, seconds: float) -> bool:
        """Link events of the kernel."""
        with _opened() as netlink:
            netlink.bind(groups=1)
            waited = 0.0
            while not stop.is_set() and waited < seconds:
                ready, _, _ = select.select([netlink.fileno()], [], [], _LOOK)
                if ready:
                    return True
                waited += _LOOK
        return False


def _link(one: Any, addresses: tuple[str, ...]) -> Link:
    info = one.get("linkinfo")
    xdp = one.get("xdp")
    return Link(
        one["index"],
        _text(one.get("ifname")),
        one.get("address") or "",
        one.get("mtu") or 0,
        _ENCAPSULATIONS.get(one["ifi_type"], str(one["ifi_type"])),
        (one.get("operstate") or "unknown").lower(),
        (info.get("kind") if info else "") or "",
        _text(one.get("ifalias")),
        one.get("master") or 0,
        one.get("link") or 0,
        one.get("link_netnsid") is not None,
        addresses,
        ("xdp",) if xdp and xdp.get("attached") else (),
        tuple(_functions(one)),
    )


def _text(value: str | bytes | None) -> str:
    """An alias may be any bytes; those that are no UTF-8 come as they are."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _functions(one: Any) -> Iterator[Function]:
    listed = one.get_attr("IFLA_VFINFO_LIST")
    for entry in listed.get_attrs("IFLA_VF_INFO") if listed else ():

        def part(name: str, field: str, absent: Any = None, *, of: Any = entry) -> Any:
            found = of.get_attr(f"IFLA_VF_{name}")
            return absent if found is None else found.get(field, absent)

        spoof, trust = part("SPOOFCHK", "spoofchk"), part("TRUST", "trust")
        state = part("LINK_STATE", "link_state")
        yield Function(
            part("MAC", "vf"),
            part("MAC", "mac", ""),
            part("VLAN", "vlan", 0),
            part("VLAN", "qos", 0),
            "802.1q",
            _flag(spoof),
            _flag(trust),
            _STATES[state] if isinstance(state, int) and 0 <= state < len(_STATES) else "",
            part("RATE", "min_tx_rate", 0),
            part("RATE", "max_tx_rate", 0),
        )


def _flag(value: Any) -> bool | None:
    """A setting of a virtual function; all bits set means that the card does not know it."""
    return bool(value) if value in (0, 1) else None


def _settings(now: Function, wanted: Function) -> Iterator[tuple[str, dict[str, Any]]]:
    """What differs, as the library wants it."""
    if wanted.mac and wanted.mac != now.mac:
        yield "mac", {"mac": wanted.mac}
    if (wanted.vlan, wanted.qos, wanted.protocol) != (now.vlan, now.qos, now.protocol):
        if wanted.protocol == "802.1ad":
            yield "vlan", {"vlan": [{"vlan": wanted.vlan, "qos": wanted.qos, "proto": _QINQ}]}
        else:
            yield "vlan", {"vlan": {"vlan": wanted.vlan, "qos": wanted.qos}}
    if wanted.spoof_check is not None and wanted.spoof_check != now.spoof_check:
        yield "spoofchk", {"spoofchk": int(wanted.spoof_check)}
    if wanted.trust is not None and wanted.trust != now.trust:
        yield "trust", {"trust": int(wanted.trust)}
    if wanted.state and wanted.state != now.state:
        yield "link state", {"link_state": _STATES.index(wanted.state)}
    if (wanted.min_rate, wanted.max_rate) != (now.min_rate, now.max_rate):
        yield "rate", {"rate": {"min_tx_rate": wanted.min_rate, "max_tx_rate": wanted.max_rate}}


@contextmanager
def _opened() -> Iterator[Any]:
    with _library():
        from pyroute2 import IPRoute

        with IPRoute() as netlink:
            yield netlink


@contextmanager
def _library() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise HardwareError("pyroute2 is not installed: pip install 'fairlead[network]'", "no-library") from None
    except HardwareError:
        raise
    except OSError as error:
        raise HardwareError(f"netlink: {error.strerror or error}", errno.errorcode.get(error.errno or 0, "")) from None
    except Exception as error:
        # The library has errors of its own, and passes on what the kernel answered in forms that it does not know.
        raise HardwareError(f"netlink: {type(error).__name__}: {error}") from None


@contextmanager
def _interface(name: str) -> Iterator[tuple[rtnetlink.Netlink, rtnetlink.Link]]:
    """An interface of the node; what the kernel refuses inside is told with its name."""
    try:
        with rtnetlink.Netlink() as here:
            link = here.named(name)
            if link is None:
                raise HardwareError(f"{name}: is not on the node", "ENODEV")
            yield here, link
    except OSError as error:
        raise HardwareError(f"{name}: {error.strerror or error}", errno.errorcode.get(error.errno or 0, "")) from None
