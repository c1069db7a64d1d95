"""The door to composition managers: Redfish resources as they are sent, read and changed by path.

Live, `sushy` (OpenStack) does sessions, their renewal, TLS and errors. Its objects know no CompositionService and no
Connections, so resources stay JSON here. Two of its habits are avoided on purpose: it sends a change again when the
answer is lost, and a PATCH again without its ETag when the manager says 412. Either may attach what another has taken.

Source: DMTF DSP0266 (protocol: ETags, 202 with tasks, errors with ExtendedInfo).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from fairlead.drivers.fabric.options import Manager
from fairlead.hardware import Door, HardwareError

Json = dict[str, Any]
ROOT: Final = "/redfish/v1/"
_TIMEOUT: Final = (5.0, 20.0)
"""Seconds to connect, and for an answer."""


class Redfish(Door):
    """What the driver asks of managers. HardwareError's code is the HTTP status; empty where there was no answer."""

    door: ClassVar[str] = "redfish"

    @abstractmethod
    def get(self, manager: str, path: str) -> Json:
        """A resource."""

    @abstractmethod
    def send(self, manager: str, method: str, path: str, body: Json, etag: str) -> Json:
        """Changes something: POST, PATCH or DELETE; the body of the answer, a task where the work goes on.

        Args:
            manager: its name in the configuration.
            method: of HTTP.
            path: of the resource.
            body: what to send; nothing is sent where it is empty and the method is DELETE.
            etag: that the resource must still have; empty for whatever it has.
        """


class SushyRedfish(Redfish):
    """The managers of a configuration, over HTTP."""

    def __init__(self, managers: Iterable[Manager]) -> None:
        """Connects when something is asked.

        Args:
            managers: of the configuration.
        """
        self._managers: Final = {one.name: one for one in managers}
        self._open: Final[dict[str, Any]] = {}

    def get(self, manager: str, path: str) -> Json:
        """As it is now, with its ETag under `@odata.etag` also where only the header has it."""
        answer = self._ask(manager, "GET", path, None, "")
        body: Json = answer.json()
        if "@odata.etag" not in body and answer.headers.get("ETag"):
            body["@odata.etag"] = answer.headers["ETag"]
        return body

    def send(self, manager: str, method: str, path: str, body: Json, etag: str) -> Json:
        """Once."""
        answer = self._ask(manager, method, path, None if method == "DELETE" else body, etag)
        try:
            found = answer.json() if answer.content else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _ask(self, manager: str, method: str, path: str, body: Json | None, etag: str) -> Any:
        try:
            from sushy import exceptions
        except ImportError:
            raise HardwareError("Redfish needs sushy: pip install 'fairlead[fabric]'") from None
        headers = {"If-Match": etag} if etag else {}
        try:
            connector = self._connector(manager)
            # Not connector.patch(): it repeats without the ETag.
            return connector._op(method, path, data=body, headers=headers, timeout=_TIMEOUT)
        except exceptions.HTTPError as error:
            raise HardwareError(
                f"{manager}: {method} {path}: {error.status_code} {error.detail}", str(error.status_code)
            ) from None
        except exceptions.SushyError as error:
            self._open.pop(manager, None)
            raise HardwareError(f"{manager}: {error}") from None

    def _connector(self, manager: str) -> Any:
        if manager not in self._open:
            import sushy
            from sushy.auth import SessionOrBasicAuth

            of = self._managers[manager]
            try:
                username, password = of.credentials()
            except OSError as error:
                raise HardwareError(f"{manager}: {error.filename}: {error.strerror}") from None
            auth = SessionOrBasicAuth(username, password) if username else None
            verify: bool | str = of.ca or True
            if of.ca and not Path(of.ca).is_file():
                raise HardwareError(f"{manager}: {of.ca}: is no file of certificates")
            # One try: what was sent may have been done although the answer was lost.
            root = sushy.Sushy(of.url, verify=verify, auth=auth, server_side_retries=1, server_side_retries_delay=0)
            # The root, not only its connector: it ends its session when nobody has it any more.
            self._open[manager] = root
        return self._open[manager]._conn


def link(resource: Mapping[str, Any], *names: str) -> str:
    """The path that a resource links to; empty where it does not."""
    value: Any = resource
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    path = value.get("@odata.id") if isinstance(value, Mapping) else None
    return str(path) if path else ""


def links(resource: Mapping[str, Any], *names: str) -> list[str]:
    """The paths of an array of links."""
    value: Any = resource
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return [str(one["@odata.id"]) for one in value or () if isinstance(one, Mapping) and one.get("@odata.id")]


def members(door: Redfish, manager: str, path: str) -> Iterator[str]:
    """The paths of the members of a collection, over all of its parts."""
    while path:
        page = door.get(manager, path)
        yield from links(page, "Members")
        path = str(page.get("Members@odata.nextLink") or "")


def last(path: str) -> str:
    """The last part of a path: the resource's id."""
    return path.rstrip("/").rpartition("/")[2]
