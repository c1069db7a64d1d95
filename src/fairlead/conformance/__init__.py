"""The conformance kit: a kubelet and an API server that are not there, and checks of any DRA driver in any language.

`run` puts a driver on the bench (`lab`) and runs `checks` on it; `report` says what came out. The bench is made of
`apiserver`, `kubelet` (on `wire`, its own protocol buffers), `launcher` (the driver's process), `claims` (allocated
from what the driver publishes, by our allocator) and `cdi` (files as a runtime reads them). Judged is what a driver
does, never how: nothing here knows the kit that drivers may be built with, but for the rules of CDI.
"""

from fairlead.conformance.check import Check
from fairlead.conformance.lab import Lab
from fairlead.conformance.options import Options
from fairlead.conformance.report import as_text, line_of, list_of_checks, record
from fairlead.conformance.run import Report, Result, catalogue, run

__all__ = [
    "Check",
    "Lab",
    "Options",
    "Report",
    "Result",
    "as_text",
    "catalogue",
    "line_of",
    "list_of_checks",
    "record",
    "run",
]
