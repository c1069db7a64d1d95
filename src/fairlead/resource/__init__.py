"""The resource.k8s.io objects, and the few core ones that allocation needs.

Typed values (`base`, `slice`, `claim`, `taint`, `workload`), exact numbers (`quantity`, `semver`), reading manifests
of any served version into the v1 model, and the API server's validation. Imports nothing of ours.
"""

from fairlead.resource.manifest import read_paths, read_text, to_builtins, write_json, write_yaml

__all__ = ["read_paths", "read_text", "to_builtins", "write_json", "write_yaml"]
