"""All devices of a cluster and what is taken of them, kept up to date by events.

The inventory is the one mutable thing in the core: slices, claims and taint rules go in as events; node views come
out. An event touches the records of the slice it names and the views of the nodes that reach its pool, nothing else.
The order in which slices were added has no influence on the order of devices, except inside a pool whose slices
disagree on how many they are (as in Kubernetes, the first one counts).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fairlead.inventory.changes import Changes
from fairlead.inventory.content import Kinds
from fairlead.inventory.features import Features
from fairlead.inventory.holdings import Holdings
from fairlead.inventory.pool import InventoryError, gather, reaches, reaching, whole
from fairlead.inventory.record import DeviceId, PoolId, SliceRecord
from fairlead.inventory.taints import with_rules
from fairlead.inventory.usage import Usage
from fairlead.inventory.view import NodeView
from fairlead.resource import DeviceTaintRule, ResourceClaim, ResourceSlice


class Inventory:
    """The devices that are published, and who holds them."""

    def __init__(
        self,
        slices: Iterable[ResourceSlice] = (),
        claims: Iterable[ResourceClaim] = (),
        taint_rules: Iterable[DeviceTaintRule] = (),
        features: Features = Features(),  # noqa: B008 - an immutable value
    ) -> None:
        self.features = features
        self.holdings = Holdings()
        self._kinds = Kinds()
        self._rules = list(taint_rules) if features.device_taints else []
        self._published: dict[str, ResourceSlice] = {}
        self._records: dict[str, SliceRecord] = {}
        self._pools: dict[PoolId, list[SliceRecord]] = {}
        self._by_node: dict[str, dict[str, SliceRecord]] = {}
        self._anywhere: dict[str, SliceRecord] = {}
        self._usages: dict[int, Usage] = {}
        self._views: dict[str, NodeView] = {}
        self._viewers: dict[PoolId, set[str]] = {}
        """By pool, the nodes with a view that a slice of it reaches."""
        self._whole: dict[PoolId, NodeView | None] = {}
        """By pool, the view of all of it."""
        self._failed: set[str] = set()
        """Nodes of which a view could not be made."""
        self._changes = Changes()
        self.renewals = 0
        """How many slices came, went or changed so far."""
        for claim in claims:
            self.holdings.add(claim, consumable_capacity=features.consumable_capacity)
        for slice_ in slices:
            self.add_slice(slice_)

    @property
    def node_names(self) -> list[str]:
        """The nodes that slices or devices name, sorted."""
        named = set(self._by_node)
        for record in self._anywhere.values():
            named.update(device.node_name for device in record.devices if device.node_name)
        return sorted(named)

    @property
    def slices(self) -> list[ResourceSlice]:
        """The slices as they were published, in the order in which they were added."""
        return list(self._published.values())

    @property
    def pool_ids(self) -> list[PoolId]:
        """The pools that slices belong to, sorted."""
        return sorted(self._pools)

    def add_slice(self, slice_: ResourceSlice, key: str = "") -> None:
        """Adds a slice, or replaces the one of that name, which keeps its place; one that is the same changes nothing.

        Args:
            slice_: the slice as its driver published it.
            key: what to know the slice by, where slices are not named apart.
        """
        key = key or slice_.name
        merged = with_rules(slice_, self._rules)
        known = self._records.get(key)
        self._published[key] = slice_
        if known is not None and known.slice.name == merged.name and known.slice.spec == merged.spec:
            return
        record = SliceRecord(merged, self._kinds)
        if known is not None and known.pool_id != record.pool_id:
            self._take_out(known, key)
            known = None
        self._records[key] = record
        records = self._pools.setdefault(record.pool_id, [])
        if known is None:
            records.append(record)
        else:
            records[_position(records, known)] = record
            self._usages.pop(id(known), None)
            if self._home(known) is not self._home(record):
                self._leave(known, key)
        self._home(record)[key] = record
        self._forget_views([record] if known is None else [known, record])

    def remove_slice(self, key: str) -> None:
        """Removes a slice; one that is not there is no error."""
        record = self._records.pop(key, None)
        if record is not None:
            del self._published[key]
            self._take_out(record, key)

    def _take_out(self, record: SliceRecord, key: str) -> None:
        """Forgets a record, but not that its slice is published."""
        self._usages.pop(id(record), None)
        records = self._pools[record.pool_id]
        del records[_position(records, record)]
        if not records:
            del self._pools[record.pool_id]
        self._leave(record, key)
        self._forget_views([record])

    def _leave(self, record: SliceRecord, key: str) -> None:
        home = self._home(record)
        home.pop(key, None)
        node_name = record.slice.spec.node_name
        if node_name and not home:
            del self._by_node[node_name]

    def forget_node(self, name: str) -> None:
        """Keeps nothing any more of a node that is gone."""
        self._views.pop(name, None)
        self._failed.discard(name)

    def set_taint_rules(self, rules: Iterable[DeviceTaintRule]) -> None:
        """Replaces all DeviceTaintRules."""
        if not self.features.device_taints:
            return
        self._rules = list(rules)
        for key, slice_ in list(self._published.items()):
            if with_rules(slice_, self._rules) != self._records[key].slice:
                self.add_slice(slice_, key)

    def set_claim(self, claim: ResourceClaim) -> None:
        """Takes note of what a claim holds now; a claim without allocation holds nothing."""
        if self.holdings.renew(claim):
            return
        self._touch(self.holdings.add(claim, consumable_capacity=self.features.consumable_capacity))

    def remove_claim(self, claim: ResourceClaim) -> None:
        """Takes note that a claim is gone."""
        self._touch(self.holdings.remove(claim, consumable_capacity=self.features.consumable_capacity))

    def changes(self, since: int) -> tuple[int, list[str] | None]:
        """The nodes whose devices, or what is taken of them, changed after an earlier call.

        Args:
            since: what the earlier call returned first; 0 at the beginning.

        Returns:
            A mark for the next call, and the names of nodes that were looked at before, perhaps several times each;
            None where any node may have changed.
        """
        return self._changes.mark, self._changes.since(since)

    @property
    def mark(self) -> int:
        """What `changes` is to be asked with to learn of later ones."""
        return self._changes.mark

    def view(
        self, node_name: str, labels: Mapping[str, str] | None = None, declared: frozenset[str] = frozenset()
    ) -> NodeView:
        """The devices that a node reaches.

        Args:
            node_name: `metadata.name` of the node.
            labels: the node's labels; absent means none.
            declared: the features in the node's status; absent means none.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        labels = labels or {}
        known = self._views.get(node_name)
        if known is not None and known.labels == labels and known.declared == declared:
            return known
        candidates = [*self._by_node.get(node_name, {}).values(), *self._anywhere.values()]
        try:
            records = reaching(candidates, node_name, labels, self.features)
            pools = gather(records, self._pools, self.features)
            made = NodeView(node_name, labels, pools, self.features, self._usage, self.holdings, self._kinds, declared)
        except InventoryError:
            self._failed.add(node_name)
            raise
        self._failed.discard(node_name)
        self._views[node_name] = made
        for record in records:
            self._viewers.setdefault(record.pool_id, set()).add(node_name)
        return made

    def pool_view(self, pool_id: PoolId) -> NodeView | None:
        """All devices of one pool, as a node would see them that reaches every one; None where nothing is published.

        The view has no devices where the pool is incomplete or invalid.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        if pool_id not in self._whole:
            pool = whole(pool_id, self._pools.get(pool_id, ()), self.features)
            self._whole[pool_id] = (
                NodeView("", {}, [pool], self.features, self._usage, self.holdings, self._kinds)
                if pool is not None
                else None
            )
        return self._whole[pool_id]

    def _home(self, record: SliceRecord) -> dict[str, SliceRecord]:
        node_name = record.slice.spec.node_name
        return self._by_node.setdefault(node_name, {}) if node_name else self._anywhere

    def _usage(self, record: SliceRecord) -> Usage:
        known = self._usages.get(id(record))
        if known is None:
            known = self._usages[id(record)] = Usage(record, self.holdings)
        return known

    def _touch(self, devices: Iterable[DeviceId]) -> None:
        pools: dict[PoolId, None] = {}
        for device in devices:
            pool_id = (device.driver, device.pool)
            pools[pool_id] = None
            for record in self._pools.get(pool_id, ()):
                usage = self._usages.get(id(record))
                if usage is not None:
                    usage.update(device.device, self.holdings)
        for pool_id in pools:
            of_all = self._whole.get(pool_id)
            if of_all is not None:
                of_all.changed()
            viewers = self._viewers.get(pool_id, ())
            for node_name in viewers:
                if node_name in self._views:
                    self._views[node_name].changed()
            self._changes.note(viewers)

    def _forget_views(self, records: Sequence[SliceRecord]) -> None:
        """Drops the views that may be others now that these records of one pool came or went."""
        self.renewals += 1
        for record in records:
            self._whole.pop(record.pool_id, None)
        seeing = set(self._failed)
        for record in records:
            seeing |= self._viewers.pop(record.pool_id, set())
            if record.slice.spec.node_name:
                seeing.add(record.slice.spec.node_name)
                continue
            try:
                seeing.update(name for name, view in self._views.items() if reaches(record.slice, name, view.labels))
            except InventoryError:
                self._views.clear()
                self._viewers.clear()
                self._changes.note_everything()
                return
        for node_name in seeing:
            self._views.pop(node_name, None)
        self._changes.note(seeing)


def _position(records: Sequence[SliceRecord], record: SliceRecord) -> int:
    return next(position for position, one in enumerate(records) if one is record)
