"""The rules for DeviceClass.

Source: ValidateDeviceClass of `k8s.io/kubernetes`; ExtendedResourceName of `k8s.io/apimachinery` pkg/api/validate.
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
    if name is not None:
        for fault in extended_resource_faults(name):
            errors.add("spec.extendedResourceName", invalid(name, fault))


def extended_resource_faults(name: str) -> list[str]:
    """Why a resource name does not belong to somebody else than Kubernetes, or does not fit in a quota."""
    faults = []
    if "/" not in name:
        faults.append("a name must be a domain-prefixed path, such as 'example.com/my-prop'")
    elif "kubernetes.io/" in name:
        faults.append('must not have "kubernetes.io/" domain')
    if name.startswith("requests."):
        faults.append('must not have "requests." prefix')
    return [*faults, *label_key_faults(f"requests.{name}")]
