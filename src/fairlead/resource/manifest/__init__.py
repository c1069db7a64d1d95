"""Manifests: text to objects and back.

`text` parses, `convert` lifts older versions to v1, `schema` checks fields, `workloads` finds pod templates, `read`
ties them together into `objects`, `write` prints.
"""

from fairlead.resource.manifest.objects import Objects
from fairlead.resource.manifest.read import read_paths, read_text
from fairlead.resource.manifest.workloads import PodSet, Workload
from fairlead.resource.manifest.write import to_builtins, write_json, write_yaml

__all__ = [
    "Objects",
    "PodSet",
    "Workload",
    "read_paths",
    "read_text",
    "to_builtins",
    "write_json",
    "write_yaml",
]
