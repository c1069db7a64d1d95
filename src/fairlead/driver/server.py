"""The sockets of one driver: opened in the order that kubelet needs, and closed so that nobody waits in vain.

The driver's own socket answers before the registration socket is there, for kubelet calls at once. On the way out the
registration goes first, so that kubelet takes another instance, and calls that are under way come to their end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import grpc.aio

from fairlead.driver.services import Plugin, check_service, plugin_services, registration_service
from fairlead.driver.sockets import Endpoints, SocketError

_OPTIONS: Final = (("grpc.so_reuseport", 0),)
GRACE: Final = 45.0
"""Seconds that a call may still take when the driver is told to stop: kubelet gives up after them."""


class KubeletServer:
    """What kubelet talks to."""

    def __init__(
        self, driver: str, plugin: Plugin, sockets: Endpoints, with_health: bool, heard: Callable[[bool, str], None]
    ) -> None:
        """Opens nothing yet.

        Args:
            driver: its name.
            plugin: what the services call.
            sockets: where to listen; nothing else may be there.
            with_health: whether the driver tells the health of devices.
            heard: is told whether kubelet took the driver, and if not, why.
        """
        self._sockets: Final = sockets
        self._plugin: Final = plugin
        self._service = grpc.aio.server(options=_OPTIONS)
        self._service.add_generic_rpc_handlers(tuple(plugin_services(plugin, with_health)))
        self._registration = grpc.aio.server(options=_OPTIONS)
        self._registration.add_generic_rpc_handlers(
            (registration_service(driver, sockets.service, with_health, heard), check_service(plugin))
        )

    async def start(self) -> None:
        """Answers kubelet.

        Raises:
            SocketError: a socket cannot be opened.
        """
        for server, path in ((self._service, self._sockets.service), (self._registration, self._sockets.registration)):
            try:
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                server.add_insecure_port(f"unix:{path}")
                await server.start()
                path.chmod(0o600)
            except (OSError, RuntimeError) as error:
                raise SocketError(f"{path}: cannot be listened on: {error}") from None

    async def stop(self, grace: float = GRACE) -> None:
        """Leaves kubelet, then lets calls that are under way come to their end.

        Args:
            grace: seconds that they may take.
        """
        await self._registration.stop(0)
        self._sockets.registration.unlink(missing_ok=True)
        await self._plugin.leave()  # a stream would use up all of the grace
        await self._service.stop(grace)
        self._sockets.service.unlink(missing_ok=True)
