"""Manifests: text to objects and back.

`text` parses, `convert` lifts older versions to v1, `schema` checks fields, `workloads` finds pod templates, `collect`
puts each object into its list of `objects`, `read` does it for files, `write` prints.
"""

from fairlead.resource.manifest.objects import Objects
from fairlead.resource.manifest.read import read_documents, read_paths, read_text
from fairlead.resource.manifest.text import TextError, parse_yaml
from fairlead.resource.manifest.workloads import PodSet, Workload
from fairlead.resource.manifest.write import to_builtins, write_json, write_yaml, write_yaml_value
from fairlead.resource.problem import Problem

__all__ = [
    "Objects",
    "PodSet",
    "Problem",
    "TextError",
    "Workload",
    "parse_yaml",
    "read_documents",
    "read_paths",
    "read_text",
    "to_builtins",
    "write_json",
    "write_yaml",
    "write_yaml_value",
]
