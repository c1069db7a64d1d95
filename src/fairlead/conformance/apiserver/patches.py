"""What a patch makes of an object: JSON patch, merge patch, strategic merge patch, and server-side apply.

Pure; objects are plain JSON values, and those that are given are not changed. Of apply the part that drivers meet: what
a manager applied before and does not any more goes, unless another manager applied it, too; conflicts are not raised,
as with `force`, which all drivers set.

Source: RFC 6902, RFC 7396, and the documentation of server-side apply.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fairlead.conformance.apiserver.resources import APPLY_KEYS, STRATEGIC_KEYS, Path

Json = dict[str, Any]


_IDENTITY: Final = (("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid"))


class PatchError(ValueError):
    """The patch cannot be read, or does not fit the object."""


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902.

    Raises:
        PatchError: an operation cannot be carried out.
    """
    if not isinstance(operations, list):
        raise PatchError("a JSON patch must be a list")
    result = copy.deepcopy(target)
    for one in operations:
        try:
            operation, path = one["op"], _pointer(one["path"])
            if operation == "test":
                if _at(result, path) != one["value"]:
                    raise PatchError(f"test of {one['path']} failed")
            elif operation == "remove":
                _remove(result, path)
            elif operation in ("add", "replace"):
                result = _put(result, path, copy.deepcopy(one["value"]), operation == "add")
            elif operation in ("move", "copy"):
                source = _pointer(one["from"])
                value = copy.deepcopy(_at(result, source))
                if operation == "move":
                    _remove(result, source)
                result = _put(result, path, value, True)
            else:
                raise PatchError(f"op {operation!r} is unknown")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            if isinstance(error, PatchError):
                raise
            raise PatchError(f"{one}: {type(error).__name__}: {error}") from None
    return result


def strategic_merge(target: Any, patch: Any, path: Path = ()) -> Any:
    """A strategic merge patch; of its directives `$patch: delete` and `$patch: replace`."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        inner = (*path, key)
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list) and inner in STRATEGIC_KEYS:
            result[key] = _merged_list(result.get(key) or [], value, STRATEGIC_KEYS[inner], inner)
        else:
            result[key] = strategic_merge(result.get(key), value, inner)
    return result


def apply(current: Json, applied: Json, before: Json | None, others: Iterable[Json]) -> Json:
    """Server-side apply.

    Args:
        current: the object as it is.
        applied: what the manager applies now.
        before: what the same manager applied last.
        others: what other managers applied last; theirs stays.
    """
    result = copy.deepcopy(current)
    if before is not None:
        keep = [applied, *others]
        _drop(result, before, keep, ())
    merged: Json = _applied(result, applied, ())
    return merged


def _applied(target: Any, applied: Any, path: Path) -> Any:
    if not isinstance(applied, dict):
        return copy.deepcopy(applied)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in applied.items():
        inner = (*path, key)
        if isinstance(value, list) and inner in APPLY_KEYS:
            entries = list(result.get(key) or [])
            for one in value:
                at = _find(entries, one, APPLY_KEYS[inner])
                if at is None:
                    entries.append(copy.deepcopy(one))
                else:
                    entries[at] = _applied(entries[at], one, inner)
            result[key] = entries
        else:
            result[key] = _applied(result.get(key), value, inner)
    return result


def _drop(target: Json, before: Mapping[str, Any], keep: list[Json], path: Path) -> None:
    """Removes what was applied before and stands in nothing of what is kept."""
    for key, old in before.items():
        inner = (*path, key)
        kept = [one[key] for one in keep if isinstance(one, dict) and key in one]
        if key not in target:
            continue
        if isinstance(old, dict) and isinstance(target[key], dict):
            _drop(target[key], old, kept, inner)
            if not target[key] and not kept:
                del target[key]
        elif isinstance(old, list) and inner in APPLY_KEYS:
            _drop_entries(target[key], old, kept, inner)
        elif not kept and path and inner not in _IDENTITY:
            del target[key]


def _drop_entries(target: list[Any], old: list[Any], kept: list[Any], path: Path) -> None:
    keys = APPLY_KEYS[path]
    for one in old:
        at = _find(target, one, keys)
        if at is None:
            continue
        same = [entry for entries in kept for entry in entries if _same(entry, one, keys)]
        if not same:
            del target[at]
        elif isinstance(one, dict):
            _drop(target[at], one, same, path)


def _merged_list(target: list[Any], patch: list[Any], keys: Path, path: Path) -> list[Any]:
    result = list(target)
    for one in patch:
        at = _find(result, one, keys)
        if isinstance(one, dict) and one.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(copy.deepcopy(one))
        else:
            result[at] = strategic_merge(result[at], one, path)
    return result


def _find(entries: list[Any], entry: Any, keys: Path) -> int | None:
    return next((at for at, one in enumerate(entries) if _same(one, entry, keys)), None)


def _same(one: Any, other: Any, keys: Path) -> bool:
    if not keys or not isinstance(one, dict) or not isinstance(other, dict):
        return bool(one == other)
    return all(one.get(key) == other.get(key) for key in keys)


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _at(value: Any, path: list[str]) -> Any:
    for part in path:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _remove(value: Any, path: list[str]) -> None:
    holder = _at(value, path[:-1])
    del holder[int(path[-1]) if isinstance(holder, list) else path[-1]]


def _put(value: Any, path: list[str], new: Any, add: bool) -> Any:
    if not path:
        return new
    holder, last = _at(value, path[:-1]), path[-1]
    if isinstance(holder, list):
        if last == "-":
            holder.append(new)
        elif add:
            holder.insert(int(last), new)
        else:
            holder[int(last)] = new
    else:
        if not add and last not in holder:
            raise PatchError(f"{last}: is not there")
        holder[last] = new
    return value
