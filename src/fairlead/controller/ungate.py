"""Opens the gates of pods that wait, without giving them anything: kube-scheduler takes over.

For taking Fairlead out of a cluster, or for when it is out of order. Each gate is opened by the same patch as the
controller's, which tests UID and gate; it names no node. What a claim has by then it keeps: kube-scheduler goes on from
there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from fairlead.controller.client import Client
from fairlead.controller.events import Refused
from fairlead.controller.patches import GATE, open_gate
from fairlead.kubernetes import Access, AccessError, ServerError
from fairlead.resource import Pod

_AT_ONCE: Final = 32
"""Requests on their way at one time."""
_GONE: Final = 404


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of the gate of one pod."""

    pod: str
    """`namespace/name`."""
    problem: str = ""
    """Why it is not open; empty where it is, or would be."""
    dry_run: bool = False
    """Whether nothing was asked of the server."""


def open_gates(access: Access, tell: Callable[[Opened], None], namespace: str = "", dry_run: bool = False) -> None:
    """Opens our gate of every pod that has it.

    Args:
        access: the API server.
        tell: is told of each pod; of pods that are gone meanwhile it is not.
        namespace: only the pods of this one; of all where it is empty.
        dry_run: whether only to tell which pods these are.

    Raises:
        AccessError: the pods cannot be listed; the text says why.
    """
    asyncio.run(_open_gates(access, tell, namespace, dry_run))


async def _open_gates(access: Access, tell: Callable[[Opened], None], namespace: str, dry_run: bool) -> None:
    async with Client(access, lambda *_, **__: None) as client:
        try:
            pods = await client.pods(namespace)
        except ServerError as error:
            raise AccessError(f"{access.server}: pods: {error.status} {error}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AccessError(f"{access.server}: {type(error).__name__} {error}".strip()) from None
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(pod: Pod) -> None:
            if dry_run:
                tell(Opened(pod.key, dry_run=True))
                return
            async with slots:
                write, _ = open_gate(pod, "")
                answer = await client.send(write)
            if not isinstance(answer, Refused):
                tell(Opened(pod.key))
            elif answer.status != _GONE:
                tell(Opened(pod.key, answer.message))

        await asyncio.gather(*(one(pod) for pod in pods if _waits(pod)))


def _waits(pod: Pod) -> bool:
    gates = (gate.name for gate in pod.spec.scheduling_gates)
    return pod.metadata.deletion_timestamp is None and GATE in gates
