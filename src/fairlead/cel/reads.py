"""Which attributes an expression can look at, so that devices equal in those need one evaluation between them.

An attribute is named `domain/id`, with an empty domain for the driver's own where the expression does not name it;
`domain/*` stands for every attribute of a domain. What else an expression can see of
a device (driver, capacity, whether it can be shared, which names exist) is not listed: it always counts. Where an
expression uses the attributes in a way whose reach is not plain from its text, nothing can be said.
"""

from __future__ import annotations

from fairlead.cel.ast import Call, Expr, Ident, Literal, Select, children

_INDEX = frozenset(["_[_]", "_[?_]"])


def reads(tree: Expr) -> frozenset[str] | None:
    """The attributes that evaluating the expression may depend on; None where it may be any."""
    found: set[str] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        attribute = _attribute(node)
        if attribute is not None:
            found.add(attribute)
            continue
        if _is_device(node) or _is_attributes(node):
            return None
        if isinstance(node, Select) and _is_device(node.operand):
            continue
        stack.extend(children(node))
    return frozenset(found)


def _attribute(node: Expr) -> str | None:
    """`domain/id` for a look-up of one attribute, `domain/*` for one of a domain."""
    match node:
        case Select(operand=inner, field=name) if (domain := _domain(inner)) is not None:
            return f"{domain}/{name}"
        case Call(function="_?._", args=[inner, Literal(value=str(name))]) if (domain := _domain(inner)) is not None:
            return f"{domain}/{name}"
        case Call(function=function, args=[inner, Literal(value=str(name))]) if (
            function in _INDEX and (domain := _domain(inner)) is not None
        ):
            return f"{domain}/{name}"
        case _ if (domain := _domain(node)) is not None:
            return f"{domain}/*"
    return None


def _domain(node: Expr) -> str | None:
    match node:
        case Call(function=function, args=[inner, Literal(value=str(name))]) if function in _INDEX and _is_attributes(
            inner
        ):
            return name
        case Call(function=function, args=[inner, Select(operand=of, field="driver")]) if (
            function in _INDEX and _is_attributes(inner) and _is_device(of)
        ):
            return ""
    return None


def _is_attributes(node: Expr) -> bool:
    return isinstance(node, Select) and node.field == "attributes" and _is_device(node.operand)


def _is_device(node: Expr) -> bool:
    return isinstance(node, Ident) and node.name == "device"
