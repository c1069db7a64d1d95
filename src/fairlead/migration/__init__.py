"""From device plugins to Dynamic Resource Allocation: rewrites workloads that count devices into ones that claim them.

Pure: manifests as plain values go in, manifests and notes for a person come out. `rules` says which resource of which
device plugin is which request, `pods` finds pod specs in any object, `networks` reads what Multus annotations ask for,
`claims` rewrites a pod spec, `parts` writes its claim templates, `classes` makes DeviceClasses that keep the workload
as it is (KEP-5004), `migrate` goes over a set of objects.
"""

from fairlead.migration.classes import answers
from fairlead.migration.migrate import Migration, migrate
from fairlead.migration.notes import Note
from fairlead.migration.rules import RULES, Rule, RuleError, read_rule

__all__ = ["RULES", "Migration", "Note", "Rule", "RuleError", "answers", "migrate", "read_rule"]
