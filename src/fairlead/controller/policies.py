"""How the controller places pods: which policies it goes by, and what it knows of wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairlead.controller.rounds import MakeRound, PlannedRound
from fairlead.placement import Cluster
from fairlead.placement.packing import node_policy
from fairlead.placement.wiring import DevicePolicy
from fairlead.topology import Rules


@dataclass(frozen=True, slots=True)
class Placing:
    """What `fairlead plan` has as options; each as there where nothing is said."""

    policy: str | None = None
    """Name of a node policy for pods that stand alone: the first node that fits, where none is given."""
    devices: DevicePolicy | None = None
    """Which of the devices of a node, where a pod does not say so itself."""
    rules: Rules | None = None
    """What attributes and labels say of wiring: those that are shipped, where none are given."""

    def rounds(self, share_id: Callable[[], str]) -> MakeRound:
        """Makes planners; `share_id` names the shares of shared devices."""

        def make(cluster: Cluster) -> PlannedRound:
            policy = node_policy(self.policy) if self.policy is not None else None
            return PlannedRound(cluster, share_id, policy, self.devices, self.rules)

        return make
