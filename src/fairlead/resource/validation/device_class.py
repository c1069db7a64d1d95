"""The rules for DeviceClass.

Source: ValidateDeviceClass of `k8s.io/kubernetes`; IsExtendedResourceName of `k8s.io/component-helpers`.
"""

from __future__ import annotations

from fairlead.resource.claim import DeviceClass
from fairlead.resource.problem import invalid
from fairlead.resource.validation.claim import CONFIGS_MAX, CheckCEL, check_configuration, check_selectors
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.metadata import check_metadata
from fairlead.resource.validation.names import label_key_faults


def check_class(errors: Errors, item: DeviceClass, check_cel: CheckCEL | None) -> None:
    """A whole DeviceClass."""
    check_metadata(errors, item.metadata, namespaced=False)
    check_selectors(errors, item.spec.selectors, "spec.selectors", check_cel)
    if errors.limit(item.spec.config, CONFIGS_MAX, "spec.config"):
        for index, config in enumerate(item.spec.config):
            check_configuration(errors, config.opaque, f"spec.config[{index}]")
    name = item.spec.extended_resource_name
    if name is not None and not is_extended_resource_name(name):
        errors.add("spec.extendedResourceName", invalid(name, "must be a valid extended resource name"))


def is_extended_resource_name(name: str) -> bool:
    """Whether a resource name belongs to somebody else than Kubernetes, and fits in a quota."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not label_key_faults(f"requests.{name}")
