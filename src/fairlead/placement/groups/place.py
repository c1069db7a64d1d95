"""Places a gang whole or not at all: devices, nodes and levels are chosen together, then every pod is placed there.

The solver (`placement.gangs`) says how many pods of which role go to which node, and on which rails. Each pod is then
placed on its node as any other pod is: the allocator and the node's own rules have the last word, so nothing that is
planned here can break a rule of the API. Where they disagree with the solver, and where the gang has conditions that
the solver does not know (extended resources, affinity to other pods, constraints across claims, devices that cost CPU),
the pods are placed one after another, all or none, inside one domain of every required level, and nobody says that this
is the best.

Claims that all pods share get their devices first: each pool that could serve them comes with the nodes that reach it,
and the gang is placed inside the best of those sets of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fairlead.inventory import DeviceId, NodeView
from fairlead.placement.gangs import Gang, Role, Shortage, Slices, solve
from fairlead.placement.gangs import Placement as Chosen
from fairlead.placement.groups.alignment import Alignment, within
from fairlead.placement.groups.ask import AskError, GangAsk, ask_of
from fairlead.placement.groups.homes import Home, homes_of, others
from fairlead.placement.groups.looks import Looks
from fairlead.placement.groups.offers import Surveyor, sites_of
from fairlead.placement.groups.release import releases
from fairlead.placement.groups.roles import PodRole, roles_of
from fairlead.placement.node import HOSTNAME
from fairlead.placement.outcome import GangOutcome, helps_of, reasons_of
from fairlead.placement.plan import Placement
from fairlead.placement.planner import Planner
from fairlead.placement.reasons import Obstacle
from fairlead.placement.task import PlacementRefusedError
from fairlead.placement.wiring import Setting
from fairlead.resource import PlannedPod, ResourceClaim
from fairlead.topology import (
    Bandwidth,
    TopologyProblem,
    Tree,
    Wiring,
    build_tree,
    job_bandwidth,
)

_NOT_TOGETHER = (
    "slices, required rails and match are not searched for pods with affinity to other pods, extended resources, "
    "constraints across claims, or devices that cost CPU or memory"
)


class GangPlanner:
    """Places gangs with a planner; knows where nodes are."""

    def __init__(self, planner: Planner) -> None:
        """Takes the nodes of the planner, which places the pods and keeps what they take."""
        self._planner = planner
        self._looks = Looks(planner)
        self._trees: dict[tuple[str, ...], Tree] = {}
        self._laid_out = planner.state.laid_out.mark

    def tree(self, named: Sequence[str] = ()) -> Tree:
        """The levels of the cluster, with those that a user named."""
        if self._planner.state.laid_out.mark != self._laid_out:
            self._laid_out = self._planner.state.laid_out.mark
            self._trees.clear()
        key = tuple(named)
        if key not in self._trees:
            labels = {name: node.labels for name, node in self._planner.site.nodes.items()}
            self._trees[key] = build_tree(labels, self._planner.rules, key)
        return self._trees[key]

    @property
    def problems(self) -> tuple[TopologyProblem, ...]:
        """What does not hold together in the levels that were looked at."""
        return tuple(dict.fromkeys(problem for tree in self._trees.values() for problem in tree.problems))

    def place(self, pods: Sequence[PlannedPod], reasons: bool = True) -> tuple[list[Placement], GangOutcome]:
        """The pods of one gang, all placed or none.

        Args:
            pods: all pods of the gang.
            reasons: whether to look for what keeps a gang from being placed, beyond what falls short.

        Returns:
            One placement a pod, in their order, and what became of the gang.
        """
        name = pods[0].group or pods[0].pod.key
        try:
            ask = ask_of(pods)
            return self._place(name, pods, ask, reasons)
        except (AskError, PlacementRefusedError) as error:
            return self._refused(pods, GangOutcome(name, len(pods), False, reasons=(str(error),)))

    def _place(
        self, name: str, pods: Sequence[PlannedPod], ask: GangAsk, explained: bool
    ) -> tuple[list[Placement], GangOutcome]:
        roles, shared = roles_of(pods)
        tree = self.tree(ask.levels)
        if any(self._special(role) for role in roles):
            return self._one_by_one(name, pods, ask, tree)
        found: Chosen | Shortage | None = None
        best_home = None
        surveyor = None
        for home in homes_of(self._planner, shared):
            looked, result = self._solve(roles, ask, tree, home)
            if found is None or _better(result, found):
                found, best_home, surveyor = result, home, looked
        if found is None or surveyor is None:
            return self._refused(
                pods, GangOutcome(name, len(pods), False, reasons=("no node can serve the claims that its pods share",))
            )
        if isinstance(found, Shortage) and surveyor.trimmed:
            return self._one_by_one(name, pods, ask, tree)
        if isinstance(found, Shortage):
            reasons = reasons_of(found, len(pods))
            if not explained:
                outcome = GangOutcome(name, len(pods), False, reasons=reasons)
                return self._waiting(pods, outcome, ()), outcome
            helps = (*helps_of(found), *releases(self._planner, roles, found, tree))
            return self._refused(pods, GangOutcome(name, len(pods), False, reasons=reasons, helps=helps))
        placements = self._realize(surveyor, roles, found, best_home, shared)
        if placements is None:
            return self._one_by_one(name, pods, ask, tree)
        assert isinstance(found.alignment, Alignment)
        rails = found.alignment.rails
        outcome = GangOutcome(
            name,
            len(pods),
            True,
            levels=found.levels,
            objective=found.objective,
            bound=found.bound,
            rails=tuple(sorted(rails)) if rails is not None else None,
            bandwidth=self._bandwidth(placements.values(), tree),
            proven=found.proven and not surveyor.trimmed,
        )
        return [placements[pod.pod.key] for pod in pods], outcome

    def _special(self, role: PodRole) -> bool:
        """Whether a pod has conditions that the solver does not know."""
        affinity = role.first.pod.spec.affinity
        apart = affinity.pod_anti_affinity
        return (
            any(used.extended for used in role.first.claims)
            or self._planner.devices_cost_resources
            or self._planner.joins_claims(role.first)
            or (affinity.pod_affinity is not None and bool(affinity.pod_affinity.required))
            or (apart is not None and any(term.topology_key != HOSTNAME for term in apart.required))
        )

    def _solve(
        self, roles: Sequence[PodRole], ask: GangAsk, tree: Tree, home: Home
    ) -> tuple[Surveyor, Chosen | Shortage]:
        planner = self._planner
        wanted = [
            [planner.wanted(claim) for claim in role.claims if planner.claims.present(claim).status.allocation is None]
            for role in roles
        ]
        pickers = [planner.picker(role.first) for role in roles]
        surveyor = Surveyor(roles, wanted, planner.site.allocator, pickers, self._planner.rules, ask.match)
        kinds = self._looks.kinds(surveyor, roles, home.nodes)
        sites = sites_of(tree, [level.name for level in tree.levels], kinds)
        slices = None
        if ask.slices is not None and (level := _known(tree, [ask.slices.level])):
            slices = Slices(level[0], ask.slices.size, ask.slices.balanced)
        gang = Gang(
            tuple(Role(role.name, len(role.pods)) for role in roles),
            limits=dict.fromkeys(_known(tree, ask.required), 1),
            slices=slices,
            prefer=tuple(_known(tree, ask.preferred)) if ask.preferred is not None else None,
            aligned=ask.rails == "required",
        )
        rail_sets = surveyor.rail_sets() if ask.rails != "any" else []
        return surveyor, solve(sites, gang, surveyor.offers(rail_sets))

    def _realize(
        self,
        surveyor: Surveyor,
        roles: Sequence[PodRole],
        chosen: Chosen,
        home: Home | None,
        shared: Sequence[ResourceClaim],
    ) -> dict[str, Placement] | None:
        """Places every pod where the solver wants it; None, and nothing is taken, where one does not fit there."""
        planner = self._planner
        waiting = [list(role.pods) for role in roles]
        placements: dict[str, Placement] = {}
        alignment = chosen.alignment
        assert isinstance(alignment, Alignment)
        for share in chosen.shares:
            view = planner.view(share.site)
            mask = -1
            if view is not None:
                mask = within(alignment, view, self._wiring(view), surveyor.matched(view))
            if view is not None and home is not None and home.devices:
                mask &= ~others(planner, view, home, shared)
            for role, count in enumerate(share.pods):
                for _ in range(count):
                    pod = waiting[role].pop(0)
                    placement = planner.place_on(pod, share.site, mask)
                    if not placement.placed:
                        self._take_back(placements.values())
                        return None
                    placements[pod.pod.key] = placement
        return placements

    def _one_by_one(
        self, name: str, pods: Sequence[PlannedPod], ask: GangAsk, tree: Tree
    ) -> tuple[list[Placement], GangOutcome]:
        """All pods or none, each on the first node that takes it, inside one domain of every required level."""
        if ask.slices is not None or ask.rails == "required" or ask.match:
            return self._refused(pods, GangOutcome(name, len(pods), False, reasons=(_NOT_TOGETHER,)))
        obstacles: tuple[Obstacle, ...] = ()
        reason = "no node is in a known domain of every required level"
        for nodes in _regions(tree, _known(tree, ask.required)):
            placements: list[Placement] = []
            for pod in pods:
                placement = self._placed_in(pod, nodes)
                if not placement.placed:
                    reason = f"{pod.pod.name} fits on no node once the {len(placements)} before it are placed"
                    obstacles = placement.obstacles
                    self._take_back(placements)
                    break
                placements.append(placement)
            else:
                bandwidth = self._bandwidth(placements, tree)
                return placements, GangOutcome(name, len(pods), True, bandwidth=bandwidth, proven=False)
        outcome = GangOutcome(name, len(pods), False, reasons=(reason,), proven=False)
        return self._waiting(pods, outcome, obstacles), outcome

    def _placed_in(self, pod: PlannedPod, nodes: Sequence[str] | None) -> Placement:
        """The pod on the first node that takes it; None for any node."""
        if nodes is None:
            return self._planner.place(pod)
        placement = Placement(pod)
        for node in nodes:
            placement = self._planner.place_on(pod, node)
            if placement.placed:
                break
        return placement

    def _refused(self, pods: Sequence[PlannedPod], outcome: GangOutcome) -> tuple[list[Placement], GangOutcome]:
        """No pod is placed; what keeps the first one that finds no node is looked up for the reasons."""
        placements: list[Placement] = []
        obstacles: tuple[Obstacle, ...] = ()
        for pod in pods:
            placement = self._planner.place(pod)
            if not placement.placed:
                obstacles = placement.obstacles
                break
            placements.append(placement)
        self._take_back(placements)
        return self._waiting(pods, outcome, obstacles), outcome

    def _waiting(
        self, pods: Sequence[PlannedPod], outcome: GangOutcome, obstacles: Sequence[Obstacle]
    ) -> list[Placement]:
        first = Obstacle("claim", f"all {outcome.pods} pods of {outcome.name} or none: {'; '.join(outcome.reasons)}")
        return [Placement(pod, obstacles=(first, *obstacles)) for pod in pods]

    def _take_back(self, placements: Iterable[Placement]) -> None:
        for placement in placements:
            self._planner.remove(placement.pod)

    def _wiring(self, view: NodeView) -> Wiring:
        return Setting.of(view, self._planner.rules).wiring

    def _bandwidth(self, placements: Iterable[Placement], tree: Tree) -> Bandwidth:
        members = []
        for placement in placements:
            view = self._planner.view(placement.node)
            if view is not None:
                members.append((placement.node, self._wiring(view), devices_of(view, placement)))
        return job_bandwidth(members, tree, self._planner.rules)


def devices_of(view: NodeView, placement: Placement) -> list[int]:
    """The numbers of the devices that a placed pod has on its node."""
    numbers = []
    for used in placement.claims:
        if used.claim.status.allocation is not None:
            for result in used.claim.status.allocation.devices.results:
                number = view.number_of(DeviceId(result.driver, result.pool, result.device))
                if number is not None:
                    numbers.append(number)
    return numbers


def _known(tree: Tree, names: Sequence[str]) -> list[str]:
    """The levels by name; one that does not hold together is named by the tree's problems, and left out here."""
    levels = {level.name for level in tree.levels}
    labels = {level.label: level.name for level in tree.levels}
    resolved = [labels.get(one, one) for one in names]
    return [one for one in dict.fromkeys(resolved) if one in levels]


def _regions(tree: Tree, levels: Sequence[str]) -> Iterator[list[str] | None]:
    """The nodes that share their domains at all of the levels, the largest such sets first; None for all nodes."""
    if not levels:
        yield None
        return
    found: dict[tuple[str, ...], list[str]] = {}
    for node in tree.paths:
        domains = tuple([tree.domain(node, level) for level in levels])
        if all(domains):
            found.setdefault(domains, []).append(node)
    yield from sorted(found.values(), key=len, reverse=True)


def _better(one: Chosen | Shortage, other: Chosen | Shortage) -> bool:
    if isinstance(one, Shortage):
        return False
    return isinstance(other, Shortage) or one.objective < other.objective
