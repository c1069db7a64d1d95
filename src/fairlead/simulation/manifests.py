"""A simulated cluster as manifests that every command reads.

YAML has one document an object, JSON one List. What is written reads back to equal objects. A file appears whole or not
at all: the text is written beside it and then moved.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fairlead.resource import KubeObject, Objects, to_builtins, write_yaml

Form = Literal["yaml", "json"]


def render(objects: Objects, form: Form, title: str = "") -> str:
    """The objects as text.

    Args:
        objects: nodes, classes, slices, templates, claims and pods; workloads have no text of their own.
        form: which text.
        title: a comment at the top of YAML.
    """
    if form == "json":
        items = [to_builtins(item) for item in _all(objects)]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1, ensure_ascii=False) + "\n"
    heading = "".join(f"# {line}\n" for line in title.splitlines())
    return heading + "".join(f"---\n{write_yaml(item)}" for item in _all(objects))


def save(objects: Objects, path: Path, form: Form = "yaml", title: str = "") -> None:
    """Writes the objects to a file, which is replaced where it exists.

    Raises:
        OSError: it cannot be written; what was there is unchanged.
    """
    write_whole(path, render(objects, form, title))


def write_whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: it cannot be written; what was there is unchanged.
    """
    if path.is_dir():
        raise IsADirectoryError(21, "is a directory", str(path))
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _all(objects: Objects) -> Iterator[KubeObject]:
    yield from objects.nodes
    yield from objects.classes
    yield from objects.slices
    yield from objects.templates
    yield from objects.claims
    yield from objects.pods
