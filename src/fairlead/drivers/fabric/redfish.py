"""The door to composition managers: Redfish resources as they are sent, read and changed by path.

Live, `sushy` (OpenStack) does sessions, their renewal, TLS and errors. Its objects know no CompositionService and no
Connections, so resources stay JSON here. Two of its habits are avoided on purpose: it sends a change again when the
answer is lost, and a PATCH again without its ETag when the manager says 412. Either may attach what another has taken.

Source: DMTF DSP0266 (protocol: ETags, 202 with tasks, errors with ExtendedInfo).
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from fairlead.drivers.fabric.options import Manager
from fairlead.hardware import Door, HardwareError

Json = dict[str, Any]
ROOT: Final = "/redfish/v1/"
MALFORMED: Final = "malformed"
"""Code of a HardwareError for an answer that is not what the protocol says."""
_TIMEOUT: Final = (5.0, 20.0)
"""Seconds to connect, and for an answer."""


class Redfish(Door):
    """What the driver asks of managers. HardwareError's code is the HTTP status or MALFORMED; empty where there was no
    answer."""

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
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise HardwareError(f"{manager}: GET {path}: the answer is no JSON object", MALFORMED)
        if "@odata.etag" not in body and answer.headers.get("ETag"):
            body["@odata.etag"] = answer.headers["ETag"]
        found: Json = body
        return found

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
            if error.status_code == 401:
                self._open.pop(manager, None)  # the password's file may have another by now
            raise HardwareError(
                f"{manager}: {method} {path}: {error.status_code} {error.detail}", str(error.status_code)
            ) from None
        except exceptions.SushyError as error:
            self._open.pop(manager, None)
            raise HardwareError(f"{manager}: {error}") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # it reads the service root by itself
            self._open.pop(manager, None)
            raise HardwareError(f"{manager}: the service root makes no sense: {error}", MALFORMED) from None

    def _connector(self, manager: str) -> Any:
        if manager not in self._open:
            import sushy
            from sushy.auth import SessionOrBasicAuth

            # What goes wrong is told by our own errors, in our own log, once; the library prints each of its tries.
            for library in ("sushy", "urllib3"):
                logging.getLogger(library).setLevel(logging.CRITICAL)

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


def part(resource: Any, *names: str) -> Any:
    """A member of a member; None where one is missing, or is no object: managers leave out what they do not know."""
    value = resource
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text(resource: Any, *names: str) -> str:
    """A member that is a text; empty where it is none."""
    value = part(resource, *names)
    return value if isinstance(value, str) else ""


def several(resource: Any, *names: str) -> list[Any]:
    """A member that is an array; nothing where it is none."""
    value = part(resource, *names)
    return value if isinstance(value, list) else []


def link(resource: Any, *names: str) -> str:
    """The path that a resource links to; empty where it does not."""
    return text(resource, *names, "@odata.id")


def links(resource: Any, *names: str) -> list[str]:
    """The paths of an array of links."""
    return [path for one in several(resource, *names) if (path := link(one))]


def members(door: Redfish, manager: str, path: str) -> Iterator[str]:
    """The paths of the members of a collection, over all of its parts.

    Raises:
        HardwareError: it cannot be read, or is no collection: then nothing is known, which is not the same as none.
    """
    seen: set[str] = set()
    told, found = 0, 0
    while path and path not in seen:
        seen.add(path)
        page = door.get(manager, path)
        paths = links(page, "Members")
        if not isinstance(page.get("Members"), list) or len(paths) != len(page["Members"]):
            raise HardwareError(f"{manager}: GET {path}: its Members are no list of links", MALFORMED)
        yield from paths
        count = page.get("Members@odata.count")
        told, found = max(told, count if isinstance(count, int) else 0), found + len(paths)
        path = text(page, "Members@odata.nextLink")
    if found < told:
        raise HardwareError(f"{manager}: GET {min(seen)}: has {found} of the {told} Members that it says", MALFORMED)


def last(path: str) -> str:
    """The last part of a path: the resource's id."""
    return path.rstrip("/").rpartition("/")[2]
