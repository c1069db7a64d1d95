"""The pools that many nodes reach, as nodes see them: by the slices that `--shared-pools` wrote.

Nodes need them for two things: to leave alone what is in such a pool although they find it in their own machine, since
the fabric has attached it here (`coexistence`), and to prepare devices of drivers whose hardware is managed elsewhere
(`Driver.known_from_slices`), so that no node needs the credentials of a manager. One list a discovery, of slices that
name no node; there are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fairlead.driver.api import RESOURCE, Api
from fairlead.driver.author import Pool
from fairlead.driver.coexistence import identities_of
from fairlead.resource import ResourcePool, ResourceSlice, decode_hook


class _Slices(msgspec.Struct):
    items: list[ResourceSlice]


_slices: Final = msgspec.json.Decoder(_Slices, dec_hook=decode_hook)


@dataclass(frozen=True, slots=True)
class Shared:
    """The slices of all drivers that name no node."""

    slices: Sequence[ResourceSlice] = ()

    def pools(self, driver: str) -> list[Pool]:
        """The pools of a driver, of the newest generation of each; who may use them was the scheduler's business."""
        newest: dict[str, int] = {}
        ours = [one.spec for one in self.slices if one.spec.driver == driver]
        for spec in ours:
            newest[spec.pool.name] = max(spec.pool.generation, newest.get(spec.pool.name, 0))
        return [
            Pool(
                [device for spec in ours if _in(spec.pool, name, generation) for device in spec.devices],
                [one for spec in ours if _in(spec.pool, name, generation) for one in spec.shared_counters],
                name,
                reach="all nodes",
            )
            for name, generation in sorted(newest.items())
        ]

    def identities(self, but: str) -> Mapping[str, str]:
        """UUIDs and serial numbers of what other drivers publish for many nodes, with its place for people."""
        return {
            identity: f"pool {one.spec.pool.name} of {one.spec.driver}, which other nodes reach, too"
            for one in self.slices
            if one.spec.driver != but
            for device in one.spec.devices
            for identity in identities_of(device)
        }


async def read_shared(api: Api) -> Shared:
    """What is published now.

    Raises:
        ApiError: it is not to be had.
        msgspec.MsgspecError: the answer makes no sense.
    """
    answer = await api.request("GET", f"{RESOURCE}/resourceslices", {"fieldSelector": "spec.nodeName="})
    # Slices may name no node and still say "per device": those devices belong to single nodes.
    return Shared([one for one in _slices.decode(answer).items if one.spec.node_name is None])


def _in(pool: ResourcePool, name: str, generation: int) -> bool:
    return (pool.name, pool.generation) == (name, generation)
