"""The rules for PodDisruptionBudgets.

Source: ValidatePodDisruptionBudgetSpec of `k8s.io/kubernetes` pkg/apis/policy, ValidatePositiveIntOrPercent and
IsNotMoreThan100Percent of pkg/apis/apps.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fairlead.resource.budget import PodDisruptionBudget
from fairlead.resource.problem import invalid
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.metadata import check_metadata

_PERCENT: Final = re.compile(r"[0-9]+%")
_NO_PERCENT: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%', or '93%', regex used for validation is '[0-9]+%')"
)


def check_budget(errors: Errors, budget: PodDisruptionBudget) -> None:
    """Metadata, and one limit at most that is a number or a percentage."""
    check_metadata(errors, budget.metadata, namespaced=True)
    least, most = budget.spec.min_available, budget.spec.max_unavailable
    if least is not None and most is not None:
        shown = {"minAvailable": least, "maxUnavailable": most}
        errors.add("spec", invalid(shown, "minAvailable and maxUnavailable cannot be both set"))
    _check_amount(errors, least, "spec.minAvailable")
    _check_amount(errors, most, "spec.maxUnavailable")


def _check_amount(errors: Errors, value: Any, path: str) -> None:
    if value is None:
        return
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            errors.add(path, invalid(value, _NO_PERCENT))
        elif int(value[:-1]) > 100:
            errors.add(path, invalid(value, "must not be greater than 100%"))
    elif type(value) is not int:
        errors.add(path, invalid(value, "must be an integer or percentage (e.g '5%')"))
    elif value < 0:
        errors.add(path, invalid(value, "must be greater than or equal to 0"))
