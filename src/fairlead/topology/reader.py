"""The data file of rules to values: the one that is shipped, and a user's on top of it.

An entry of a user's file with a name that is known replaces that entry. New models and platforms are asked before
known ones, attributes of a fact before known attributes of it. Every reference to a figure, a level or a fact is
checked; what is wrong is a `RulesError` with the field path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Final, Protocol, TypeVar

from fairlead.resource import TextError, parse_yaml
from fairlead.topology.cursor import Cursor, RulesError
from fairlead.topology.location import FACTS, KINDS
from fairlead.topology.rules import (
    LINK_KINDS,
    SHAPES,
    Case,
    Defaults,
    DriverRule,
    Fabric,
    Figure,
    KindCase,
    LevelRule,
    Model,
    Platform,
    Rules,
)

_FILE: Final = "rules.yaml"
_NUMBERS: Final = ("numa", "rail")
_SETTABLE: Final = ("switch", "root", "numa", "rail", "nvlink")
"""Facts that a platform can have."""
_SECTIONS: Final = (
    "attributes",
    "drivers",
    "figures",
    "models",
    "platforms",
    "levels",
    "hierarchies",
    "defaults",
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


@cache
def default_rules() -> Rules:
    """The rules that are shipped."""
    return _read(files("fairlead.topology").joinpath(_FILE).read_text("utf-8"), _FILE, Rules(), named=False)


def read_rules(text: str, origin: str, base: Rules | None = None) -> Rules:
    """The rules of a YAML text on top of others.

    Args:
        text: the text of the file.
        origin: what to call it in errors, such as its path.
        base: the rules below it; the default rules when None.

    Raises:
        RulesError: the text is no YAML, or says something that rules cannot say.
    """
    return _read(text, origin, default_rules() if base is None else base, named=True)


def _read(text: str, origin: str, base: Rules, *, named: bool) -> Rules:
    try:
        documents = parse_yaml(text)
    except TextError as error:
        raise RulesError(origin, "", str(error)) from None
    if len(documents) > 1:
        raise RulesError(origin, "", f"must be one document, not {len(documents)}")
    top = Cursor(documents[0] if documents and documents[0] is not None else {}, origin)
    top.keys(_SECTIONS)
    levels = dict(base.levels)
    for level in _all(top, "levels", lambda at: _level(at, named)):
        levels[level.name] = level
    rules = Rules(
        attributes=top.read("attributes", lambda at: _attributes(at, base.attributes), base.attributes),
        drivers={**base.drivers, **{one.name: one for one in _all(top, "drivers", _driver)}},
        figures={**base.figures, **{one.name: one for one in _all(top, "figures", _figure)}},
        models=_before(_all(top, "models", _model), base.models),
        platforms=_before(_all(top, "platforms", _platform), base.platforms),
        levels=levels,
        hierarchies=(*base.hierarchies, *_hierarchies(top.get("hierarchies"))),
        defaults=top.read("defaults", lambda at: _defaults(at, base.defaults), base.defaults),
    )
    _check(rules, top)
    return rules


def _all(top: Cursor, section: str, how: Callable[[Cursor], N]) -> list[N]:
    found = top.get(section)
    made: dict[str, N] = {}
    for entry in found.entries() if found is not None else ():
        one = how(entry)
        if one.name in made:
            raise entry.need("name").error(f'"{one.name}" is here twice')
        made[one.name] = one
    return list(made.values())


def _before(new: Iterable[N], known: Iterable[N]) -> tuple[N, ...]:
    first = tuple(new)
    names = {one.name for one in first}
    return (*first, *(one for one in known if one.name not in names))


def _fact_names(at: Cursor) -> dict[str, tuple[str, ...]]:
    at.keys(FACTS)
    return {fact: names.texts() for fact, names in at.items()}


def _attributes(at: Cursor, base: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    merged = dict(base)
    for fact, names in _fact_names(at).items():
        merged[fact] = tuple(dict.fromkeys((*names, *base.get(fact, ()))))
    return merged


def _driver(at: Cursor) -> DriverRule:
    at.keys(("name", "kinds", "attributes"))
    kinds = at.need("kinds")
    return DriverRule(
        at.need("name").text(),
        tuple(_kind_case(entry) for entry in kinds.entries()),
        at.read("attributes", _fact_names, {}),
    )


def _kind_case(at: Cursor) -> KindCase:
    at.keys(("kind", "when", "part"))
    return KindCase(
        at.need("kind").choice(KINDS), at.read("when", _conditions, {}), at.read("part", Cursor.flag, False)
    )


def _conditions(at: Cursor) -> dict[str, str | int | bool]:
    return {name: _plain(value) for name, value in at.items()}


def _plain(at: Cursor) -> str | int | bool:
    if not isinstance(at.value, str | int | bool):
        raise at.error("must be a text, a whole number, true or false")
    return at.value


def _figure(at: Cursor) -> Figure:
    at.keys(("name", "gbytes", "source"))
    return Figure(at.need("name").text(), at.need("gbytes").number(0, above=True), at.need("source").text())


def _model(at: Cursor) -> Model:
    at.keys(("name", "kind", "model", "host", "fabric", "network", "near"))
    return Model(
        at.need("name").text(),
        at.need("kind").choice(KINDS),
        at.need("model").pattern(),
        at.read("host", Cursor.text, ""),
        at.read("fabric", _fabric, None),
        at.read("network", Cursor.text, ""),
        at.read("near", lambda near: near.choice(LINK_KINDS[1:-1]), "root"),
    )


def _fabric(at: Cursor) -> Fabric | None:
    at.keys(("figure", "shape", "spans"))
    return Fabric(at.need("figure").text(), at.need("shape").choice(SHAPES), at.read("spans", Cursor.flag, False))


def _platform(at: Cursor) -> Platform:
    at.keys(("name", "kind", "model", "cases", "why"))
    return Platform(
        at.need("name").text(),
        at.need("kind").choice(KINDS),
        at.need("model").pattern(),
        tuple(_case(entry) for entry in at.need("cases").entries()),
        at.need("why").text(),
    )


def _case(at: Cursor) -> Case:
    at.keys(("bus", *_SETTABLE))
    facts: dict[str, str | int] = {}
    for fact in _SETTABLE:
        value = at.get(fact)
        if value is not None:
            facts[fact] = value.whole() if fact in _NUMBERS else value.text()
    return Case(at.need("bus").pattern(), facts)


def _level(at: Cursor, named: bool) -> LevelRule:
    at.keys(("name", "labels", "oversubscription", "nvlink"))
    labels = at.need("labels")
    if not labels.texts():
        raise labels.error("must have at least one label")
    return LevelRule(
        at.need("name").text(),
        labels.texts(),
        at.read("oversubscription", lambda value: value.number(1), 1.0),
        at.read("nvlink", Cursor.flag, False),
        named,
    )


def _hierarchies(at: Cursor | None) -> tuple[tuple[str, ...], ...]:
    return tuple(entry.texts() for entry in at.entries()) if at is not None else ()


def _defaults(at: Cursor, base: Defaults) -> Defaults:
    at.keys(("host", "socket", "staged", "cross_rail"))
    return replace(
        base,
        host=at.read("host", Cursor.text, base.host),
        socket=at.read("socket", Cursor.text, base.socket),
        staged=at.read("staged", lambda value: value.number(0, 1, above=True), base.staged),
        cross_rail=at.read("cross_rail", lambda value: value.number(1), base.cross_rail),
    )


def _check(rules: Rules, top: Cursor) -> None:
    """Every name that is used has to be there; the base is consistent, so what is wrong is in this file."""
    for used in _figure_uses(top):
        if used.text() not in rules.figures:
            raise used.error(f'no figure is called "{used.value}"')
    owners: dict[str, str] = {}
    for name, level in rules.levels.items():
        for label in level.labels:
            if owners.setdefault(label, name) != name:
                raise RulesError(top.origin, "levels", f'the label {label} is of both "{owners[label]}" and "{name}"')
    hierarchies = top.get("hierarchies")
    for chain in hierarchies.entries() if hierarchies is not None else ():
        for entry in chain.entries():
            if entry.text() not in rules.levels:
                raise entry.error(f'no level is called "{entry.value}"')
    for field in ("host", "socket"):
        if getattr(rules.defaults, field) not in rules.figures:
            raise RulesError(top.origin, f"defaults.{field}", "required value: the name of a figure")


def _figure_uses(top: Cursor) -> Iterable[Cursor]:
    models = top.get("models")
    for model in models.entries() if models is not None else ():
        for key in ("host", "network"):
            used = model.get(key)
            if used is not None:
                yield used
        fabric = model.get("fabric")
        if fabric is not None:
            yield fabric.need("figure")
    defaults = top.get("defaults")
    for key in ("host", "socket"):
        used = defaults.get(key) if defaults is not None else None
        if used is not None:
            yield used
