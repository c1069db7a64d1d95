"""Objects to manifests: v1, only what is set, keys in kubectl's order.

kubectl prints `apiVersion`, `kind`, `metadata` first and sorts all other keys, as encoding through a Go map does.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import yaml

from fairlead.resource.base import KubeObject
from fairlead.resource.codec import Number, encode_hook
from fairlead.resource.manifest.convert import GROUP, V1, group_of
from fairlead.resource.manifest.text import resolve_plain
from fairlead.resource.slice import ResourceSlice

_FIRST: Final = ("apiVersion", "kind", "metadata", "spec")
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Quotes strings that a reader of YAML 1.1, as Kubernetes is, takes for something else; numbers keep their text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> Any:
        style = "|" if "\n" in text else None
        if style is None and not isinstance(resolve_plain(text), str):
            style = '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def represent_number(self, number: Number) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:float", number.text)


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(Number, _Dumper.represent_number)


def to_builtins(item: KubeObject) -> dict[str, Any]:
    """The object as JSON values, in v1."""
    value: dict[str, Any] = msgspec.to_builtins(item, enc_hook=encode_hook)
    if isinstance(item, ResourceSlice):
        # The API always prints a generation, and zero is the most common one.
        value["spec"]["pool"].setdefault("generation", item.spec.pool.generation)
    kind = item.kind or type(item).__name__
    version = item.api_version or V1
    if group_of(version) == GROUP:
        version = V1
    head = {"apiVersion": version, "kind": kind}
    rest = {key: value[key] for key in ("metadata", "spec") if key in value}
    more = {key: value[key] for key in sorted(value) if key not in _FIRST}
    return head | {key: _sorted(part) for key, part in (rest | more).items()}


def write_json(item: KubeObject) -> str:
    """The object as indented JSON."""
    return json.dumps(to_builtins(item), indent=4, ensure_ascii=False) + "\n"


def write_yaml(item: KubeObject) -> str:
    """The object as YAML that reads back to an equal object."""
    return write_yaml_value(to_builtins(item))


def write_yaml_value(value: Any) -> str:
    """A plain value as YAML, its keys in their own order, that Kubernetes reads as the same value."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
