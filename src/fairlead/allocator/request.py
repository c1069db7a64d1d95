"""What claims ask for, checked and resolved once for all claims of one shape.

A shape is the spec of a claim with its device classes looked up and its selectors compiled. Claims made from one
template share it. The checks are those that Kubernetes' allocator makes before it searches; a claim that fails one
cannot be allocated anywhere, and what we do not know is refused, not ignored (invariant 6 of the design).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.cel import CompileError, Derived, Selector, compile_derived, compile_selector
from fairlead.cel import Features as CELFeatures
from fairlead.inventory import Features, Reader
from fairlead.resource import (
    CapacityRequirements,
    DeviceClass,
    DeviceDerivedAttribute,
    DeviceRequest,
    DeviceSelector,
    DeviceSubRequest,
    DeviceToleration,
    ExactDeviceRequest,
    Quantity,
    ResourceClaimSpec,
)

CLAIM = "\0"
"""Stands for the name of the claim in texts: claims of one shape share them."""

MAX_RESULTS = 32
"""`AllocationResultsMaxSize`: devices that one claim can be given."""


class RequestError(ValueError):
    """A claim that cannot be allocated on any node; the text starts with the request or constraint at fault."""


@dataclass(frozen=True, slots=True)
class SelectorOrigin:
    """Where a selector stands: in a class (by name) or, with an empty name, in the claim itself."""

    class_name: str
    index: int

    def __str__(self) -> str:
        owner = f"class {self.class_name}" if self.class_name else f"claim {CLAIM}"
        return f"{owner}: selector #{self.index}"


class SelectorChain:
    """Selectors that must all match, compiled when the first device is looked at and not before.

    A selector that does not compile is an error only then, as in Kubernetes, and where no device is free none is
    looked at.
    """

    __slots__ = ("_compiled", "_gates", "_sources", "origins")

    def __init__(self, sources: Sequence[tuple[SelectorOrigin, DeviceSelector]], gates: CELFeatures) -> None:
        self.origins = tuple([origin for origin, _ in sources])
        self._sources = sources
        self._gates = gates
        self._compiled: tuple[tuple[Selector, ...], str] | None = None

    @property
    def expressions(self) -> tuple[str, ...]:
        """The selectors as text."""
        return tuple([selector.cel.expression for _, selector in self._sources if selector.cel is not None])

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selectors, up to the first that does not compile."""
        return self._compile()[0]

    @property
    def broken(self) -> str:
        """The error of the first selector that does not compile; empty where all do."""
        return self._compile()[1]

    def _compile(self) -> tuple[tuple[Selector, ...], str]:
        if self._compiled is None:
            selectors: list[Selector] = []
            broken = ""
            for expression in self.expressions:
                try:
                    selectors.append(compile_selector(expression, self._gates))
                except CompileError as error:
                    broken = f"CEL compile error: {error}"
                    break
            self._compiled = tuple(selectors), broken
        return self._compiled


@dataclass(frozen=True, slots=True)
class Unit:
    """One way to satisfy a request: the request itself, or one alternative of a prioritized list."""

    name: str
    """The name in results: `request` or `request/alternative`."""
    device_class: DeviceClass
    chain: SelectorChain
    """The selectors of the class, then those of the request."""
    all_devices: bool
    count: int
    admin_access: bool
    tolerations: tuple[DeviceToleration, ...]
    capacity: Mapping[str, Quantity]
    constraints: tuple[int, ...]
    """Numbers of the constraints of the claim that apply."""
    derived: Mapping[str, Derived | str]
    """Attributes that the request computes for constraints, by name; the error where one does not compile."""

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The compiled selectors, up to the first that does not compile."""
        return self.chain.selectors

    @property
    def origins(self) -> tuple[SelectorOrigin, ...]:
        """Where each selector stands."""
        return self.chain.origins

    @property
    def broken(self) -> str:
        """The error of the first selector that does not compile; empty where all do."""
        return self.chain.broken


@dataclass(frozen=True, slots=True)
class Constraint:
    """A condition on the devices of several requests together."""

    attribute: str
    distinct: bool
    requests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'distinctAttribute' if self.distinct else 'matchAttribute'} {self.attribute}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its alternatives in order of preference; most have one."""

    name: str
    units: tuple[Unit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClaimShape:
    """The requests and constraints of claims that ask for the same."""

    spec: ResourceClaimSpec
    requests: tuple[Request, ...]
    constraints: tuple[Constraint, ...]
    countable: bool = field(init=False)
    """Whether every request wants a number of devices for itself, and not more than a claim can have."""
    least: int = field(init=False)
    """Devices that the claim needs for itself at least; admin access needs none."""

    def __post_init__(self) -> None:
        units = [unit for request in self.requests for unit in request.units]
        countable = (
            len(units) == len(self.requests)
            and not any(unit.all_devices or unit.admin_access for unit in units)
            and 0 < sum(unit.count for unit in units) <= MAX_RESULTS
        )
        least = sum(
            min(0 if unit.admin_access else 1 if unit.all_devices else unit.count for unit in request.units)
            for request in self.requests
        )
        object.__setattr__(self, "countable", countable)
        object.__setattr__(self, "least", least)

    @property
    def chains(self) -> list[tuple[Reader, ...]]:
        """The chain of selectors of every way to satisfy a request, and what else looks at values of attributes."""
        units = [unit for request in self.requests for unit in request.units]
        chains: list[tuple[Reader, ...]] = [unit.selectors for unit in units]
        for unit in units:
            for name, derived in unit.derived.items():
                if not isinstance(derived, str):
                    # What is computed is compared with what other devices have under that name.
                    chains.append((derived, _Look(frozenset([name]))))
        return chains


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at attributes themselves."""

    reads: frozenset[str]


def resolve(spec: ResourceClaimSpec, classes: Mapping[str, DeviceClass], features: Features) -> ClaimShape:
    """Checks a claim's spec and looks up everything that it names.

    Raises:
        RequestError: the claim cannot be allocated; the text fits behind `claim NAME, `.
    """
    constraints: list[Constraint] = []
    requests: list[Request] = []
    for number, constraint in enumerate(spec.devices.constraints):
        if constraint.match_attribute is not None:
            constraints.append(Constraint(constraint.match_attribute, False, tuple(constraint.requests)))
        elif constraint.distinct_attribute is not None:
            constraints.append(Constraint(constraint.distinct_attribute, True, tuple(constraint.requests)))
        else:
            raise RequestError(f"constraint #{number}: empty constraint (unsupported constraint type?)")
    for request in spec.devices.requests:
        requests.append(_resolve_request(request, classes, features, constraints))
    return ClaimShape(spec, tuple(requests), tuple(constraints))


def _resolve_request(
    request: DeviceRequest,
    classes: Mapping[str, DeviceClass],
    features: Features,
    constraints: list[Constraint],
) -> Request:
    where = f"request {request.name}"
    if request.first_available and not features.prioritized_list:
        raise RequestError(f"{where}: has subrequests, but the DRAPrioritizedList feature is disabled")
    if request.exactly is not None and request.first_available:
        raise RequestError(f"{where}: exactly one of `exactly` or `firstAvailable` is required, not both")
    if request.exactly is not None:
        applying = _applying(constraints, (request.name,))
        return Request(request.name, (_unit(where, request.name, request.exactly, classes, features, applying),))
    if not request.first_available:
        raise RequestError(
            f"{where}: exactly one of `exactly` or `firstAvailable` is required (unsupported request type?)"
        )
    units = []
    for alternative in request.first_available:
        name = f"{request.name}/{alternative.name}"
        applying = _applying(constraints, (request.name, name))
        if alternative.capacity is not None and not features.consumable_capacity:
            raise RequestError(
                f"subrequest {alternative.name}: has capacity requests, "
                "but the DRAConsumableCapacity feature is disabled"
            )
        units.append(_unit(f"request {name}", name, alternative, classes, features, applying))
    return Request(request.name, tuple(units))


def _applying(constraints: list[Constraint], names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(
        number
        for number, constraint in enumerate(constraints)
        if not constraint.requests or any(name in constraint.requests for name in names)
    )


def _unit(
    where: str,
    name: str,
    asked: ExactDeviceRequest | DeviceSubRequest,
    classes: Mapping[str, DeviceClass],
    features: Features,
    constraints: tuple[int, ...],
) -> Unit:
    admin_access = asked.admin_access if isinstance(asked, ExactDeviceRequest) else None
    if asked.capacity is not None and not features.consumable_capacity:
        raise RequestError(f"{where}: has capacity requests, but the DRAConsumableCapacity feature is disabled")
    if asked.derived_attributes and not features.derived_attributes:
        raise RequestError(f"{where}: cannot handle request with derived attributes, the feature is disabled")
    for number, selector in enumerate(asked.selectors):
        if selector.cel is None:
            raise RequestError(f"{where}, selector #{number}: CEL expression empty (unsupported selector type?)")
    if admin_access is not None and not features.admin_access:
        raise RequestError(f"{where}: admin access is requested, but the feature is disabled")
    if not asked.device_class_name:
        raise RequestError(f"{where}: missing device class name (unsupported request type?)")
    device_class = classes.get(asked.device_class_name)
    if device_class is None:
        raise RequestError(
            f"{where}: could not retrieve device class {asked.device_class_name}: "
            f'deviceclass.resource.k8s.io "{asked.device_class_name}" not found'
        )
    if asked.allocation_mode not in ("ExactCount", "All"):
        raise RequestError(f"{where}: unsupported count mode {asked.allocation_mode}")
    if asked.allocation_mode == "ExactCount" and asked.count <= 0:
        raise RequestError(f"{where}: exact count {asked.count} must be greater than zero")
    for number, selector in enumerate(device_class.spec.selectors):
        if selector.cel is None:
            raise RequestError(
                f"{where}: class {device_class.name}, selector #{number}: "
                "CEL expression empty (unsupported selector type?)"
            )
    sources = [
        *((SelectorOrigin(device_class.name, i), s) for i, s in enumerate(device_class.spec.selectors)),
        *((SelectorOrigin("", i), s) for i, s in enumerate(asked.selectors)),
    ]
    return Unit(
        name=name,
        device_class=device_class,
        chain=SelectorChain(sources, _gates(features)),
        all_devices=asked.allocation_mode == "All",
        count=asked.count,
        admin_access=bool(admin_access),
        tolerations=tuple(asked.tolerations),
        capacity=_amounts(asked.capacity),
        constraints=constraints,
        derived=_derived(asked.derived_attributes, features),
    )


def _amounts(capacity: CapacityRequirements | None) -> Mapping[str, Quantity]:
    return {} if capacity is None else capacity.requests


def _derived(attributes: Iterable[DeviceDerivedAttribute], features: Features) -> Mapping[str, Derived | str]:
    found: dict[str, Derived | str] = {}
    for attribute in attributes:
        try:
            found[attribute.name] = compile_derived(attribute.expression, _gates(features))
        except CompileError as error:
            found[attribute.name] = f"compile derived attribute {attribute.name} failed: {error}"
    return found


def _gates(features: Features) -> CELFeatures:
    return CELFeatures(consumable_capacity=features.consumable_capacity, list_attributes=features.list_type_attributes)
