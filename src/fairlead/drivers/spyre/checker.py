"""The door to IBM's health checker (ibm-aiu/spyre-health-checker), which tells the state of each card over gRPC.

Optional: without it a card's own signs decide. The service streams the states of all cards at each change; the live
door listens in a thread of its own, and answers with what it heard last.

Source of service and messages: pkg/proto/spyre_health/spyre_health.proto of that repository.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import Any, ClassVar, Final

from fairlead.hardware import Door, HardwareError

BAD: Final = {6: "the health checker says that it is in error", 7: "the health checker says that it was removed"}
"""States, by their numbers in the protocol, in which a card is not to be used."""
_METHOD: Final = "/SpyreHealthService/RegisterForSpyreDevicesEvents"
_RETRY: Final = 10.0
_FIRST: Final = 5.0
"""Seconds that the first answer may take."""


class HealthChecker(Door):
    """What the health checker knows."""

    door: ClassVar[str] = "spyre-health-checker"

    @abstractmethod
    def states(self) -> dict[str, int]:
        """Each card's state by its PCI address, as last heard. HardwareError where nothing can be heard."""


class LiveHealthChecker(HealthChecker):
    """A health checker that runs on this machine."""

    def __init__(self, address: str) -> None:
        """Touches nothing yet.

        Args:
            address: `localhost:50051`, or another that gRPC knows.
        """
        self._address: Final = address
        self._heard: dict[str, int] | None = None
        self._problem = "has not answered yet"
        self._changed: Final = threading.Condition()
        self._listens = False

    def states(self) -> dict[str, int]:
        """As last heard; starts to listen when first asked."""
        with self._changed:
            if not self._listens:
                self._listens = True
                threading.Thread(target=self._listen, name="spyre-health-checker", daemon=True).start()
                self._changed.wait(_FIRST)
            if self._heard is None:
                raise HardwareError(f"health checker at {self._address}: {self._problem}")
            return self._heard

    def _listen(self) -> None:
        import grpc  # needs the extra `driver`, as serving does

        while True:
            with grpc.insecure_channel(self._address) as channel:
                call: Any = channel.unary_stream(_METHOD, lambda _: b"", decode)
                try:
                    for states in call(None):
                        self._say(states, "")
                    self._say(None, "ended the stream")
                except grpc.RpcError as error:
                    self._say(None, _reason(error))
                except ValueError as error:
                    self._say(None, f"answered with something else: {error}")
            threading.Event().wait(_RETRY)

    def _say(self, heard: dict[str, int] | None, problem: str) -> None:
        with self._changed:
            self._heard, self._problem = heard, problem
            self._changed.notify_all()


def decode(data: bytes) -> dict[str, int]:
    """The states in a message of type Devices. ValueError where it is none."""
    found: dict[str, int] = {}
    for device in _fields(data).get(1, []):
        fields = _fields(_bytes(device))
        identity = _fields(_bytes(fields.get(1, [b""])[-1]))
        address = _bytes(identity.get(1, [b""])[-1]).decode().lower()
        state = fields.get(3, [0])[-1]
        if address and isinstance(state, int):
            found[address] = state
    return found


def _fields(data: bytes) -> dict[int, list[int | bytes]]:
    """A protobuf message by the numbers of its fields: numbers, and what has a length."""
    found: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        value: int | bytes
        if key & 7 == 0:
            value, at = _number(data, at)
        elif key & 7 == 2:
            length, at = _number(data, at)
            value, at = data[at : at + length], at + length
        elif key & 7 in (1, 5):
            length = 8 if key & 7 == 1 else 4
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"a field of kind {key & 7}")
        if at > len(data):
            raise ValueError("a message that is cut off")
        found.setdefault(key >> 3, []).append(value)
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("a message that is cut off")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a number where a text belongs")


def _reason(error: Any) -> str:
    return f"{error.code().name}: {error.details()}"
