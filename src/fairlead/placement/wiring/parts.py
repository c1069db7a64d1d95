"""The respects in which sets of devices are compared, each a function of a set, with its words.

Everything here is symmetric: it depends on where devices sit and on what they are, never on their names or numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from fairlead.allocator.slot import bits
from fairlead.inventory import NodeView, Occupancy
from fairlead.placement.wiring.score import Key, Part
from fairlead.placement.wiring.setting import Setting
from fairlead.placement.words import counted
from fairlead.topology import LINK_KINDS, Bandwidth

SWITCH, ROOT, NUMA = (LINK_KINDS.index(kind) for kind in ("switch", "root", "numa"))
_TIERS = {SWITCH: "behind one PCIe switch", ROOT: "on one PCIe root", NUMA: "on one NUMA node"}
_LINKS = {
    "nvlink": "NVLink",
    "switch": "one PCIe switch",
    "root": "one PCIe root",
    "numa": "one NUMA node",
    "system": "the way across NUMA nodes",
    "unknown": "a way that is not known",
}
_NOUNS = {"nvlink": "NVLink domain", "numa": "NUMA node", "root": "PCIe root", "switch": "PCIe switch"}


class Scene:
    """A setting with what is taken on the node now: what parts of a score are computed from."""

    def __init__(self, setting: Setting, view: NodeView) -> None:
        self.setting = setting
        self._free = view.on_node & ~view.occupancy.held
        self._bandwidth: dict[int, Bandwidth] = {}
        self._talk: dict[object, tuple[float, int]] = {}
        self._left: dict[int, int] = {}
        self._matched: dict[tuple[int, int, int, bool, int], int] = {}
        self._consumed = _consumption(view)
        self._accounts = view.occupancy.counters

    def talkers(self, devices: int) -> int:
        """The devices that talk with each other: the compute devices, or all where there are none."""
        return devices & self.setting.compute or devices

    def talk(self, devices: int) -> tuple[float, int]:
        """How fast an all-reduce over the devices is (GB/s, `inf` for one device), and the rank of the worst link."""
        setting = self.setting
        numbers = bits(devices)
        key: object = devices
        if not devices & ~setting.compute:
            key = tuple(sorted([setting.kin[number] for number in numbers]))
        known = self._talk.get(key)
        if known is None:
            worst = 0
            for place, one in enumerate(numbers):
                for other in numbers[place + 1 :]:
                    worst = max(worst, setting.wiring.link(one, other).rank)
            known = self._talk[key] = (_rounded(self.bandwidth(devices).all_reduce), worst)
        return known

    def bandwidth(self, devices: int) -> Bandwidth:
        """What the wiring says of a set."""
        known = self._bandwidth.get(devices)
        if known is None:
            known = self._bandwidth[devices] = self.setting.wiring.bandwidth(bits(devices))
        return known

    def pairs(self, compute: int, network: int, rank: int) -> int:
        """How many of the larger side have a partner of the other side at this rank or better.

        Partners are shared out evenly: with twice as many NICs as GPUs every GPU has two, and the other way round.
        """
        n, m = compute.bit_count(), network.bit_count()
        if not n or not m:
            return 0
        return self.matched(compute, network, rank, outward=m > n, room=-(-max(n, m) // min(n, m)))

    def matched(self, compute: int, network: int, rank: int, *, outward: bool, room: int) -> int:
        """How many of one side find a partner on the other at this rank or better.

        Args:
            compute: compute devices.
            network: network devices.
            rank: of the worst link that counts.
            outward: whether network devices look for compute devices; else compute devices look for network devices.
            room: how many of the looking side one partner takes.
        """
        key = (compute, network, rank, outward, room)
        known = self._matched.get(key)
        if known is None:
            partners = {number: self.setting.near(number, rank) & network for number in bits(compute)}
            if outward:
                partners = {
                    number: sum(1 << one for one, near in partners.items() if near >> number & 1)
                    for number in bits(network)
                }
            known = self._matched[key] = _matched(partners, room)
        return known

    def left_after(self, devices: int) -> int:
        """The devices that are of use once a set is taken: free, and with what they need of shared counters."""
        known = self._left.get(devices)
        if known is None:
            known = self._free & ~devices
            if self._consumed:
                known &= ~self._unpayable(devices)
            self._left[devices] = known
        return known

    def _unpayable(self, devices: int) -> int:
        left = dict(self._accounts)
        for number in bits(devices):
            for account, amount in self._consumed.get(number, _NONE).items():
                left[account] = left.get(account, 0) - amount
        return sum(
            1 << number
            for number, needs in self._consumed.items()
            if any(left.get(account, 0) < amount for account, amount in needs.items())
        )


_NONE: Mapping[tuple[int, str, str], int] = {}


def _consumption(view: NodeView) -> dict[int, dict[tuple[int, str, str], int]]:
    """By device that draws on counters, what it takes of each."""
    consumed: dict[int, dict[tuple[int, str, str], int]] = {}
    for number in bits(view.counting):
        pool = view.pool_number(number)
        needs: dict[tuple[int, str, str], int] = {}
        for one in view.device(number).consumes_counters:
            for name, counter in one.counters.items():
                account = (pool, one.counter_set, name)
                needs[account] = needs.get(account, 0) + counter.value.nano
        consumed[number] = needs
    return consumed


def stock(occupancy: Occupancy) -> tuple[object, ...]:
    """What is left of the counters, as a value."""
    return tuple(sorted(occupancy.counters.items()))


def _matched(partners: Mapping[int, int], room: int) -> int:
    """The size of the largest assignment of numbers to one partner each, `room` to a partner (augmenting paths)."""
    guests: dict[int, list[int]] = {}

    def seat(number: int, seen: set[int]) -> bool:
        for partner in bits(partners[number]):
            if partner in seen:
                continue
            seen.add(partner)
            seated = guests.setdefault(partner, [])
            if len(seated) < room:
                seated.append(number)
                return True
            for place, guest in enumerate(seated):
                if seat(guest, seen):
                    seated[place] = number
                    return True
        return False

    return sum(seat(number, set()) for number in partners)


Measure = Callable[[Scene, int], Key]
"""A part of a score as numbers."""
Words = Callable[[Scene, int], str]


def talk(scene: Scene, devices: int) -> Key:
    """GPU to GPU: the estimated all-reduce, then the worst link."""
    speed, worst = scene.talk(scene.talkers(devices))
    return (speed, -worst)


def talk_text(scene: Scene, devices: int) -> str:
    """The same in words."""
    talkers = scene.talkers(devices)
    speed, worst = scene.talk(talkers)
    count = talkers.bit_count()
    if count < 2:
        return ""
    kind = LINK_KINDS[worst]
    over = f"{_LINKS.get(kind, kind)} between {f'all {count}' if count > 2 else 'both'}"
    return over if speed in (0, inf) else f"all-reduce {_gbytes(speed)}, {over}"


def apart(scene: Scene, devices: int) -> Key:
    """How many devices share a NUMA node, a PCIe root, a switch: fewer in the fullest is better, place by place."""
    talkers = scene.talkers(devices)
    return tuple([(*[-size for size in _sizes(scene, talkers, place)], inf) for place in ("numa", "root", "switch")])


def apart_text(scene: Scene, devices: int) -> str:
    """The same in words."""
    talkers = scene.talkers(devices)
    if talkers.bit_count() < 2:
        return ""
    known = [
        (place, sizes) for place in ("numa", "root", "switch") if (sizes := _sizes(scene, talkers, place, known=True))
    ]
    if not known:
        return "nothing is known of where devices sit"
    return ", ".join(f"{counted(len(sizes), _NOUNS[place])} (at most {sizes[0]} on one)" for place, sizes in known)


def _sizes(scene: Scene, devices: int, place: str, known: bool = False) -> list[int]:
    """How many of the devices are in each place, largest first; all whose place is unknown may be in one."""
    sizes = []
    for group in scene.setting.places[place]:
        if devices & group:
            sizes.append((devices & group).bit_count())
            devices &= ~group
    if devices and not known:
        sizes.append(devices.bit_count())
    return sorted(sizes, reverse=True)


def pairs(scene: Scene, devices: int) -> Key:
    """GPU to NIC: how many have a partner behind the same switch, on the same root, on the same NUMA node."""
    compute, network = devices & scene.setting.compute, devices & scene.setting.network
    return tuple([scene.pairs(compute, network, rank) for rank in (SWITCH, ROOT, NUMA)])


def pairs_text(scene: Scene, devices: int) -> str:
    """The same in words, at the closest place at which all or most are."""
    compute, network = devices & scene.setting.compute, devices & scene.setting.network
    if not compute or not network:
        return ""
    whole = max(compute.bit_count(), network.bit_count())
    noun = scene.setting.noun(compute)
    side, other = ("NIC", noun) if network.bit_count() > compute.bit_count() else (noun, "NIC")
    counts = {rank: scene.pairs(compute, network, rank) for rank in (SWITCH, ROOT, NUMA)}
    best = max(counts.values())
    if not best:
        return f"no {side} with {'an' if other == 'accelerator' else 'a'} {other} close by"
    rank = next(rank for rank, count in counts.items() if count == best)
    return f"{best} of {counted(whole, side)} with {'its' if best == 1 else 'their'} {other} {_TIERS[rank]}"


def network(scene: Scene, devices: int) -> Key:
    """What can be moved out of the node, in GB/s."""
    return (_rounded(scene.bandwidth(devices).network),)


def network_text(scene: Scene, devices: int) -> str:
    """The same in words."""
    speed = scene.bandwidth(devices).network
    return f"{_gbytes(speed)} network" if 0 < speed < inf else ""


def span(scene: Scene, devices: int) -> Key:
    """Over how few NUMA nodes the devices are spread; devices of which it is not known count as one more."""
    return (-len(_sizes(scene, devices, "numa")),)


def span_text(scene: Scene, devices: int) -> str:
    """The same in words."""
    sizes = _sizes(scene, devices, "numa", known=True)
    return counted(len(sizes), "NUMA node") if sum(sizes) == devices.bit_count() else ""


def left(scene: Scene, devices: int) -> Key:
    """What stays usable together: in each kind of place the groups of whole compute devices and NICs, largest first.

    A group counts by its pairs, then its compute devices, then its NICs; on a node without one of the kinds by what
    there is.
    """
    rest = scene.left_after(devices)
    setting = scene.setting
    whole = sum(unit & -unit for unit in setting.units if not unit & ~rest)
    nics = rest & setting.network
    others = rest & ~(setting.compute | setting.network)
    paired = bool(setting.compute and setting.network)
    key = []
    for groups in setting.places.values():
        sizes = []
        for group in groups:
            g, n, o = (whole & group).bit_count(), (nics & group).bit_count(), (others & group).bit_count()
            sizes.append((min(g, n) if paired else g or n, g, n, o))
        key.append(tuple(sorted(sizes, reverse=True)))
    return tuple(key)


def left_text(scene: Scene, devices: int) -> str:
    """The same in words, for the largest group of the first kind of place that is known."""
    for place, sizes in zip(scene.setting.places, left(scene, devices), strict=True):
        if sizes and place != "nvlink":
            _, g, n, o = sizes[0]
            counts = [
                counted(count, noun)
                for count, noun in ((g, scene.setting.noun(scene.setting.compute)), (n, "NIC"), (o, "other device"))
                if count
            ]
            return f"leaves {' and '.join(counts)} together on one {_NOUNS[place]}" if counts else "leaves nothing"
    return ""


def part(name: str, measure: Measure, words: Words, scene: Scene, devices: int) -> Part:
    """A part of the score of a set."""
    return Part(name, measure(scene, devices), words(scene, devices))


def _rounded(speed: float) -> float:
    """Sums of the same figures in another order differ in their last digits only."""
    return round(speed, 6)


def _gbytes(speed: float) -> str:
    return f"{speed:.0f} GB/s" if speed >= 10 else f"{speed:.1f} GB/s"
