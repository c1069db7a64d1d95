"""Taints that DeviceTaintRules add to devices, merged into the slices as Kubernetes' tracker does (KEP-5055).

A rule without device selector selects nothing; one with an empty selector selects every device. The taints that a
driver publishes come first, those of rules follow, rules in order of name.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fairlead.resource import Device, DeviceTaint, DeviceTaintRule, ResourceSlice


def with_rules(slice_: ResourceSlice, rules: Iterable[DeviceTaintRule]) -> ResourceSlice:
    """The slice with the taints of all rules that select its devices; the same object where none does."""
    applying = [rule for rule in sorted(rules, key=lambda rule: rule.name) if _selects_slice(rule, slice_)]
    if not applying:
        return slice_
    devices = [_tainted(device, applying) for device in slice_.spec.devices]
    return msgspec.structs.replace(slice_, spec=msgspec.structs.replace(slice_.spec, devices=devices))


def _selects_slice(rule: DeviceTaintRule, slice_: ResourceSlice) -> bool:
    selector = rule.spec.device_selector
    return (
        selector is not None
        and selector.driver in (None, slice_.spec.driver)
        and selector.pool in (None, slice_.spec.pool.name)
    )


def _tainted(device: Device, rules: list[DeviceTaintRule]) -> Device:
    added: list[DeviceTaint] = [
        rule.spec.taint
        for rule in rules
        if rule.spec.device_selector is not None and rule.spec.device_selector.device in (None, device.name)
    ]
    return msgspec.structs.replace(device, taints=[*device.taints, *added]) if added else device
