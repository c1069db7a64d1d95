"""Taints of devices, tolerations of requests, and rules that taint devices from outside (KEP-5055)."""

from __future__ import annotations

from fairlead.resource.base import KubeObject, Model


class DeviceTaint(Model, frozen=True, gc=False):
    """A reason not to use a device: `effect` is None, NoSchedule or NoExecute; any other has no effect."""

    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class DeviceToleration(Model, frozen=True, gc=False):
    """What a request accepts: `operator` is Equal (the default) or Exists; an empty key or effect matches all."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class DeviceTaintSelector(Model, frozen=True, gc=False):
    """The devices that a rule taints: every field that is set must be equal; none set selects all devices."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None


class DeviceTaintRuleSpec(Model, frozen=True):
    """A rule without `deviceSelector` selects no device."""

    device_selector: DeviceTaintSelector | None = None
    taint: DeviceTaint = DeviceTaint()


class DeviceTaintRule(KubeObject, frozen=True, kw_only=True):
    """Adds one taint to all devices that it selects."""

    spec: DeviceTaintRuleSpec
