"""What the API server would refuse, in its words: one object at a time (`validate`) and pools (`validate_pools`).

The rules are those of 1.37 with all feature gates on, for objects that are created, not updated. Unknown fields are
not seen here: reading reports them, since the structs do not keep them.
"""

from __future__ import annotations

from fairlead.resource.base import KubeObject
from fairlead.resource.budget import PodDisruptionBudget
from fairlead.resource.claim import DeviceClass, ResourceClaim, ResourceClaimTemplate
from fairlead.resource.defaults import default_claim_spec
from fairlead.resource.manifest.convert import path_as_written
from fairlead.resource.problem import Problem, object_label
from fairlead.resource.slice import ResourceSlice
from fairlead.resource.taint import DeviceTaintRule
from fairlead.resource.validation.allocation import check_status
from fairlead.resource.validation.budget import check_budget
from fairlead.resource.validation.claim import CheckCEL, RequestNames, check_device_claim
from fairlead.resource.validation.device_class import check_class
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.metadata import check_metadata, check_template_metadata
from fairlead.resource.validation.pool import validate_pools
from fairlead.resource.validation.slice import check_slice
from fairlead.resource.validation.taint import check_taint_rule

__all__ = ["CheckCEL", "validate", "validate_pools"]


def validate(item: KubeObject, check_cel: CheckCEL | None = None) -> list[Problem]:
    """The problems of one object of resource.k8s.io, or of a PodDisruptionBudget; none for objects of other groups.

    `check_cel` compiles a device selector and answers what is wrong with it, or None. Problems have no source; see
    `Problem.at`.
    """
    errors = Errors()
    if isinstance(item, ResourceSlice):
        check_slice(errors, item)
    elif isinstance(item, ResourceClaim):
        check_metadata(errors, item.metadata, namespaced=True)
        devices = default_claim_spec(item.spec).devices
        check_device_claim(errors, devices, "spec.devices", check_cel)
        check_status(errors, item.status, RequestNames(devices))
    elif isinstance(item, ResourceClaimTemplate):
        check_metadata(errors, item.metadata, namespaced=True)
        check_template_metadata(errors, item.spec.metadata, "spec.metadata")
        check_device_claim(errors, default_claim_spec(item.spec.spec).devices, "spec.spec.devices", check_cel)
    elif isinstance(item, DeviceClass):
        check_class(errors, item, check_cel)
    elif isinstance(item, DeviceTaintRule):
        check_taint_rule(errors, item)
    elif isinstance(item, PodDisruptionBudget):
        check_budget(errors, item)
    if not errors.found:
        return []
    kind = item.kind or type(item).__name__
    label = object_label(kind, item.namespace, item.name or item.metadata.generate_name)
    return [
        Problem(label, path_as_written(item.api_version, kind, path), reason)
        for path, reason in dict.fromkeys(errors.found)
    ]
