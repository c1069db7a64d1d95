"""Which devices of a node are better than others, by name.

* `first-fit`: the devices that Kubernetes' allocator gives, in the order of slices; nothing is optimised.
* `compact`: devices that talk fast. In this order: the all-reduce that the compute devices can do and their worst
  link; compute devices with a NIC behind the same switch, on the same root, on the same NUMA node; network bandwidth;
  few NUMA nodes; what is left over stays together; low device numbers.
* `spread`: devices that fail and saturate apart. In this order: few of them on one NUMA node, PCIe root and switch;
  then as `compact` from the NICs on, but for the number of NUMA nodes.

Where a claim takes no compute device (GPU or accelerator), the first respect looks at all devices that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fairlead.allocator.slot import bits
from fairlead.placement.wiring import parts
from fairlead.placement.wiring.parts import Measure, Scene, Words
from fairlead.placement.wiring.score import Score


@dataclass(frozen=True, slots=True)
class Respect:
    """One respect in which sets are compared."""

    name: str
    measure: Measure
    words: Words


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    """What is better: respects in the order in which they decide. None of them: whatever comes first.

    The first looks at devices that talk with each other alone, the second at the pairs of these with NICs.
    """

    name: str
    respects: tuple[Respect, ...]

    @property
    def ranks(self) -> bool:
        """Whether it prefers some sets to others."""
        return bool(self.respects)

    def score(self, scene: Scene, devices: int) -> Score:
        """What a set is worth; a policy that ranks nothing is measured as `compact` is."""
        respects = self.respects or COMPACT.respects
        made = [parts.part(one.name, one.measure, one.words, scene, devices) for one in respects]
        return Score(self.name, tuple(bits(devices)), tuple(made))


_TALK: Final = Respect("talk", parts.talk, parts.talk_text)
_APART: Final = Respect("apart", parts.apart, parts.apart_text)
_PAIRS: Final = Respect("pairs", parts.pairs, parts.pairs_text)
_NETWORK: Final = Respect("network", parts.network, parts.network_text)
_SPAN: Final = Respect("numaNodes", parts.span, parts.span_text)
_LEFT: Final = Respect("leftOver", parts.left, parts.left_text)

FIRST_FIT: Final = DevicePolicy("first-fit", ())
COMPACT: Final = DevicePolicy("compact", (_TALK, _PAIRS, _NETWORK, _SPAN, _LEFT))
SPREAD: Final = DevicePolicy("spread", (_APART, _PAIRS, _NETWORK, _LEFT))

DEVICE_POLICIES: Final = {policy.name: policy for policy in (FIRST_FIT, COMPACT, SPREAD)}
"""All of them, by name."""
