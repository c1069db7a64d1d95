"""Device selectors and derived attributes: the CEL that Dynamic Resource Allocation allows, compiled to Python."""

from fairlead.cel.derived import Derived, compile_derived
from fairlead.cel.device import AttributeLike, DeviceInput, device_input
from fairlead.cel.errors import CompileError, EvaluationError
from fairlead.cel.selector import Features, Selector, compile_selector

__all__ = [
    "AttributeLike",
    "CompileError",
    "Derived",
    "DeviceInput",
    "EvaluationError",
    "Features",
    "Selector",
    "compile_derived",
    "compile_selector",
    "device_input",
]
