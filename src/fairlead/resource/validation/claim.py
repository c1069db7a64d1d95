"""The rules for what a ResourceClaim asks for, and for DeviceClass, which shares selectors and configuration.

Source: validateDeviceClaim and ValidateDeviceClass of `k8s.io/kubernetes`. Specs are checked with their defaults
filled in, as the API server does it. Selectors are compiled by a callback, since this package does not know CEL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from fairlead.resource.claim import (
    DeviceClaim,
    DeviceConstraint,
    DeviceDerivedAttribute,
    DeviceRequest,
    DeviceSelector,
    DeviceSubRequest,
    ExactDeviceRequest,
    OpaqueDeviceConfiguration,
)
from fairlead.resource.codec import encode_hook
from fairlead.resource.problem import forbidden, invalid, required, too_long, unsupported
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.names import (
    check_driver,
    check_fully_qualified,
    check_label,
    check_qualified,
    check_required_subdomain,
)
from fairlead.resource.validation.taint import check_toleration

REQUESTS_MAX: Final = 32
CONSTRAINTS_MAX: Final = 32
CONFIGS_MAX: Final = 32
SELECTORS_MAX: Final = 32
ALTERNATIVES_MAX: Final = 8
DERIVED_MAX: Final = 32
EXPRESSION_MAX: Final = 10 * 1024
PARAMETERS_MAX: Final = 10 * 1024

CheckCEL = Callable[[str], str | None]

_MODES: Final = ("All", "ExactCount")
_REFERENCE: Final = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
_ONE_CONSTRAINT: Final = 'exactly one of "matchAttribute" or "distinctAttribute" is required'


class RequestNames:
    """The requests of a claim and their alternatives, as constraints and configuration may name them."""

    def __init__(self, devices: DeviceClaim) -> None:
        self._names: set[str] = set()
        for request in devices.requests:
            self._names.add(request.name)
            self._names.update(f"{request.name}/{sub.name}" for sub in request.first_available)

    def check(self, errors: Errors, name: str, path: str) -> None:
        """A reference to a request."""
        parts = name.split("/")
        if len(parts) > 2:
            errors.add(path, invalid(name, _REFERENCE))
            return
        for part in parts:
            check_label(errors, part, path)
        if name not in self._names:
            errors.add(path, invalid(name, _REFERENCE))

    def check_list(self, errors: Errors, names: list[str], path: str) -> None:
        """A list of references, each once."""
        if errors.limit(names, REQUESTS_MAX, path):
            for index, name in enumerate(names):
                self.check(errors, name, f"{path}[{index}]")
            errors.unique(names, path)


def check_device_claim(errors: Errors, devices: DeviceClaim, path: str, check_cel: CheckCEL | None) -> None:
    """`spec.devices` of a claim or of what a template makes."""
    names = RequestNames(devices)
    if errors.limit(devices.requests, REQUESTS_MAX, f"{path}.requests"):
        for index, request in enumerate(devices.requests):
            _check_request(errors, request, devices.constraints, f"{path}.requests[{index}]", check_cel)
        errors.unique((request.name for request in devices.requests), f"{path}.requests")
    if errors.limit(devices.constraints, CONSTRAINTS_MAX, f"{path}.constraints"):
        for index, constraint in enumerate(devices.constraints):
            _check_constraint(errors, constraint, names, f"{path}.constraints[{index}]")
    if errors.limit(devices.config, CONFIGS_MAX, f"{path}.config"):
        for index, config in enumerate(devices.config):
            where = f"{path}.config[{index}]"
            names.check_list(errors, config.requests, f"{where}.requests")
            check_configuration(errors, config.opaque, where)


def check_selectors(errors: Errors, selectors: list[DeviceSelector], path: str, check_cel: CheckCEL | None) -> None:
    """Selectors of a request or class."""
    if not errors.limit(selectors, SELECTORS_MAX, path):
        return
    for index, selector in enumerate(selectors):
        where = f"{path}[{index}].cel"
        if selector.cel is None:
            errors.add(where, required())
            continue
        expression = selector.cel.expression
        if len(expression.encode()) > EXPRESSION_MAX:
            errors.add(f"{where}.expression", too_long(EXPRESSION_MAX))
        elif check_cel is not None:
            fault = check_cel(expression)
            if fault is not None:
                complex_ = fault.startswith("too complex")
                reason = forbidden(fault) if complex_ else invalid(expression, fault)
                errors.add(f"{where}.expression", reason)


def check_configuration(errors: Errors, opaque: OpaqueDeviceConfiguration | None, path: str) -> None:
    """The parameters for a driver."""
    path = f"{path}.opaque"
    if opaque is None:
        errors.add(path, required())
        return
    check_driver(errors, opaque.driver, f"{path}.driver")
    check_raw(errors, opaque.parameters, f"{path}.parameters", PARAMETERS_MAX)


def check_raw(errors: Errors, value: Any, path: str, most: int) -> None:
    """JSON that is passed on: an object, and not too long."""
    if value is None:
        errors.add(path, required())
    elif len(msgspec.json.encode(value, enc_hook=encode_hook)) > most:
        errors.add(path, too_long(most))
    elif not isinstance(value, dict):
        errors.add(path, invalid("<value omitted>", "must be a valid JSON object"))


def _check_request(
    errors: Errors,
    request: DeviceRequest,
    constraints: list[DeviceConstraint],
    path: str,
    check_cel: CheckCEL | None,
) -> None:
    check_label(errors, request.name, f"{path}.name")
    alternatives = request.first_available
    if request.exactly is None and not alternatives:
        errors.add(path, required("exactly one of `exactly` or `firstAvailable` is required"))
    elif request.exactly is not None and alternatives:
        detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
        errors.add(path, invalid(None, detail))
    elif request.exactly is not None:
        _check_body(errors, request.exactly, request.name, constraints, f"{path}.exactly", check_cel)
    elif errors.limit(alternatives, ALTERNATIVES_MAX, f"{path}.firstAvailable"):
        for index, alternative in enumerate(alternatives):
            where = f"{path}.firstAvailable[{index}]"
            check_label(errors, alternative.name, f"{where}.name")
            name = f"{request.name}/{alternative.name}"
            _check_body(errors, alternative, name, constraints, where, check_cel)
        errors.unique((alternative.name for alternative in alternatives), f"{path}.firstAvailable")


def _check_body(
    errors: Errors,
    body: ExactDeviceRequest | DeviceSubRequest,
    name: str,
    constraints: list[DeviceConstraint],
    path: str,
    check_cel: CheckCEL | None,
) -> None:
    check_required_subdomain(errors, body.device_class_name, f"{path}.deviceClassName")
    check_selectors(errors, body.selectors, f"{path}.selectors", check_cel)
    if errors.limit(body.derived_attributes, DERIVED_MAX, f"{path}.derivedAttributes"):
        for index, attribute in enumerate(body.derived_attributes):
            where = f"{path}.derivedAttributes[{index}]"
            _check_derived(errors, attribute, name, constraints, where)
        errors.unique((derived.name for derived in body.derived_attributes), f"{path}.derivedAttributes")
    if body.allocation_mode == "All":
        if body.count:
            detail = "must not be specified when allocationMode is 'All'"
            errors.add(f"{path}.count", invalid(body.count, detail))
    elif body.allocation_mode == "ExactCount":
        if body.count <= 0:
            errors.add(f"{path}.count", invalid(body.count, "must be greater than zero"))
    else:
        errors.add(f"{path}.allocationMode", unsupported(body.allocation_mode, _MODES))
    errors.each(body.tolerations, f"{path}.tolerations", check_toleration)
    if body.capacity is not None:
        for key in body.capacity.requests:
            check_qualified(errors, key, f"{path}.capacity.requests")


def _check_derived(
    errors: Errors,
    attribute: DeviceDerivedAttribute,
    request: str,
    constraints: list[DeviceConstraint],
    path: str,
) -> None:
    if attribute.name:
        check_fully_qualified(errors, attribute.name, f"{path}.name")
        targets = {request, request.split("/")[0]}
        if not any(
            attribute.name in (constraint.match_attribute, constraint.distinct_attribute)
            and (not constraint.requests or targets & set(constraint.requests))
            for constraint in constraints
        ):
            detail = (
                "must be referenced by at least one matchAttribute or distinctAttribute constraint targeting "
                "this request"
            )
            errors.add(f"{path}.name", invalid(attribute.name, detail))
    else:
        errors.add(f"{path}.name", required())
    if not attribute.expression:
        errors.add(f"{path}.expression", required())
    elif len(attribute.expression.encode()) > EXPRESSION_MAX:
        errors.add(f"{path}.expression", too_long(EXPRESSION_MAX))


def _check_constraint(errors: Errors, constraint: DeviceConstraint, names: RequestNames, path: str) -> None:
    names.check_list(errors, constraint.requests, f"{path}.requests")
    match, distinct = constraint.match_attribute, constraint.distinct_attribute
    if match is not None:
        check_fully_qualified(errors, match, f"{path}.matchAttribute")
    if distinct is not None:
        check_fully_qualified(errors, distinct, f"{path}.distinctAttribute")
    if match is None and distinct is None:
        errors.add(path, required(_ONE_CONSTRAINT))
    elif match is not None and distinct is not None:
        shown = {"matchAttribute": match, "distinctAttribute": distinct}
        errors.add(path, invalid(shown, f"{_ONE_CONSTRAINT}, but multiple fields are set"))
