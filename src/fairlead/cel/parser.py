"""Recursive descent parser for CEL.

Mirrors the grammar of cel-go ``parser/gen/CEL.g4`` and the tree building of ``parser/parser.go``: chains of
``&&`` and ``||`` become balanced trees (this decides the order in which errors and costs add up), even numbers of
``!`` or ``-`` cancel, nodes point at the operator, the opening bracket or the dot.

Syntax errors read like ANTLR's where one token is wrong; after an error that one token cannot explain,
parsing stops, where ANTLR would go on and report follow-ups.
"""

from __future__ import annotations

from typing import NoReturn

from fairlead.cel.ast import (
    Call,
    Entry,
    Expr,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Message,
    Select,
)
from fairlead.cel.errors import NOWHERE, Issues
from fairlead.cel.lexer import EOF, Token, bytes_value, string_value, tokenize
from fairlead.cel.macros import MacroError, expand
from fairlead.cel.values import Uint, Value

MAX_DEPTH = 250

_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_RELATIONS = frozenset({"<", "<=", ">=", ">", "==", "!=", "in"})
_NAMES = {"in": "@in"}
_LITERALS = ("NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING", "BYTES")
_FIRST = ("[", "{", "(", ".", "-", "!", "true", "false", "null", *_LITERALS, "IDENTIFIER")
_CLOSING = frozenset(")]}")
_MAX_INT = 2**63 - 1
_MAX_UINT = 2**64 - 1


class _AbortError(Exception):
    """An issue was reported that parsing cannot go on from."""


def parse(source: str, issues: Issues) -> Expr | None:
    """The tree of ``source``, or None with the reasons in ``issues``."""
    parser = _Parser(tokenize(source, issues), issues)
    try:
        tree = parser.expression()
        parser.expect_end()
    except _AbortError:
        return None
    return None if issues else tree


class _Parser:
    def __init__(self, tokens: list[Token], issues: Issues) -> None:
        self._tokens = tokens
        self._issues = issues
        self._position = 0
        self._depth = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._position]

    def _next(self) -> Token:
        token = self._token
        self._position += 1
        return token

    def _accept(self, kind: str) -> Token | None:
        return self._next() if self._token.kind == kind else None

    def _fail(self, offset: int, message: str) -> NoReturn:
        self._issues.report(offset, message)
        raise _AbortError

    def _expect(self, kind: str) -> Token:
        token = self._token
        if token.kind == kind:
            return self._next()
        quoted = kind if kind.isupper() else f"'{kind}'"
        if token.kind != EOF and self._tokens[self._position + 1].kind == kind:
            self._issues.report(token.offset, f"Syntax error: extraneous input '{token.text}' expecting {quoted}")
            self._next()
            return self._next()
        closes = kind in _CLOSING and (token.kind == EOF or token.kind not in _FIRST)
        missing = closes or (kind == ":" and token.kind in _FIRST)
        what = (
            f"missing {quoted} at '{token.text}'" if missing else f"mismatched input '{token.text}' expecting {quoted}"
        )
        return self._fail(token.offset, f"Syntax error: {what}")

    def expect_end(self) -> None:
        token = self._token
        if token.kind == EOF:
            return
        word = "extraneous" if self._tokens[self._position + 1].kind == EOF else "mismatched"
        self._fail(token.offset, f"Syntax error: {word} input '{token.text}' expecting <EOF>")

    def expression(self, extra: tuple[str, ...] = ()) -> Expr:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(NOWHERE, f"expression recursion limit exceeded: {MAX_DEPTH}")
        condition = self._logic("||", extra)
        question = self._accept("?")
        if question is not None:
            if_true = self._logic("||")
            self._expect(":")
            if_false = self.expression()
            condition = Call(question.offset, "_?_:_", None, [condition, if_true, if_false])
        self._depth -= 1
        return condition

    def _logic(self, operator: str, extra: tuple[str, ...] = ()) -> Expr:
        operand = self._relation if operator == "&&" else self._conjunction
        terms = [operand(extra)]
        offsets: list[int] = []
        while (token := self._accept(operator)) is not None:
            offsets.append(token.offset)
            terms.append(operand(()))
        return _balanced(f"_{operator}_", terms, offsets)

    def _conjunction(self, extra: tuple[str, ...]) -> Expr:
        return self._logic("&&", extra)

    def _relation(self, extra: tuple[str, ...]) -> Expr:
        left = self._calculation(1, extra)
        length = 0
        while self._token.kind in _RELATIONS:
            length = self._check_chain(length)
            left = self._binary(left, self._next(), self._calculation(1))
        return left

    def _calculation(self, level: int, extra: tuple[str, ...] = ()) -> Expr:
        operators = ("+", "-") if level else ("*", "/", "%")
        left = self._calculation(0, extra) if level else self._unary(extra)
        length = 0
        while self._token.kind in operators:
            length = self._check_chain(length)
            token = self._next()
            left = self._binary(left, token, self._calculation(0) if level else self._unary())
        return left

    def _check_chain(self, length: int) -> int:
        """A chain of operators or selections nests as deeply as it is long."""
        if self._depth + length >= MAX_DEPTH:
            self._fail(NOWHERE, "max recursion depth exceeded")
        return length + 1

    def _binary(self, left: Expr, token: Token, right: Expr) -> Expr:
        return Call(token.offset, _NAMES.get(token.kind, f"_{token.kind}_"), None, [left, right])

    def _unary(self, extra: tuple[str, ...] = ()) -> Expr:
        operator = self._token
        if operator.kind not in ("!", "-") or self._negative_literal():
            return self._member(extra)
        count = 0
        while self._accept(operator.kind) is not None:
            count += 1
        operand = self._member(extra, unwanted=operator.kind == "!")
        if count % 2 == 0:
            return operand
        return Call(operator.offset, "!_" if operator.kind == "!" else "-_", None, [operand])

    def _negative_literal(self) -> bool:
        following = self._tokens[min(self._position + 1, len(self._tokens) - 1)]
        return self._token.kind == "-" and following.kind in ("NUM_INT", "NUM_FLOAT")

    def _member(self, extra: tuple[str, ...], unwanted: bool = False) -> Expr:
        node = self._primary(extra, unwanted)
        length = 0
        while True:
            if self._token.kind in (".", "["):
                length = self._check_chain(length)
            if (dot := self._accept(".")) is not None:
                node = self._selection(node, dot)
            elif (bracket := self._accept("[")) is not None:
                optional = self._accept("?") is not None
                index = self.expression(("?",))
                self._expect("]")
                node = Call(bracket.offset, "_[?_]" if optional else "_[_]", None, [node, index])
            else:
                return node

    def _selection(self, operand: Expr, dot: Token) -> Expr:
        optional = self._accept("?") is not None
        token = self._token
        if token.kind not in ("IDENTIFIER", "ESC_IDENTIFIER"):
            if token.kind in ("true", "false", "null"):
                self._fail(token.offset, f"Syntax error: mismatched input '{token.text}' expecting IDENTIFIER")
            text = "" if token.kind == EOF else token.text
            self._fail(token.offset, f"Syntax error: no viable alternative at input '.{text}'")
        self._next()
        if optional:
            name = Literal(token.offset, token.text.strip("`"))
            return Call(dot.offset, "_?._", None, [operand, name])
        if token.kind == "IDENTIFIER" and (paren := self._accept("(")) is not None:
            return self._call(paren, token.text, operand, self._arguments())
        return Select(dot.offset, operand, token.text.strip("`"))

    def _arguments(self) -> list[Expr]:
        arguments: list[Expr] = []
        if self._accept(")") is not None:
            return arguments
        arguments.append(self.expression((")",)))
        while self._separated(")"):
            arguments.append(self.expression())
        self._expect(")")
        return arguments

    def _separated(self, closing: str) -> bool:
        """Whether a comma follows; a single token that does not belong there is skipped."""
        token = self._token
        if token.kind not in (",", closing, EOF) and self._tokens[self._position + 1].kind in (",", closing):
            message = f"Syntax error: extraneous input '{token.text}' expecting {{'{closing}', ','}}"
            self._issues.report(token.offset, message)
            self._next()
        return self._accept(",") is not None

    def _call(self, paren: Token, name: str, target: Expr | None, arguments: list[Expr]) -> Expr:
        try:
            expanded = expand(paren.offset, name, target, arguments)
        except MacroError as error:
            # As cel-go: note the problem and go on, so that later ones are reported too.
            self._issues.report(error.offset, str(error))
            return Literal(paren.offset, False)
        return Call(paren.offset, name, target, arguments) if expanded is None else expanded

    def _primary(self, extra: tuple[str, ...], unwanted: bool) -> Expr:
        token = self._token
        match token.kind:
            case "(":
                self._next()
                node = self.expression()
                self._expect(")")
                return node
            case "[":
                return self._list(self._next())
            case "{":
                return self._map(self._next())
            case "IDENTIFIER" | ".":
                return self._name()
            case "true" | "false" | "null":
                self._next()
                return Literal(token.offset, {"true": True, "false": False, "null": None}[token.kind])
            case "-" if self._negative_literal():
                self._next()
                return Literal(token.offset, self._number(self._next(), token.offset, "-"))
            case kind if kind in _LITERALS:
                return Literal(token.offset, self._literal(self._next()))
        return self._unexpected(extra, unwanted)

    def _unexpected(self, extra: tuple[str, ...], unwanted: bool) -> Expr:
        """A token that starts no operand: skipped when the next one does start one."""
        token = self._token
        following = self._tokens[min(self._position + 1, len(self._tokens) - 1)]
        expected = ", ".join(
            kind if kind.isupper() else f"'{kind}'" for kind in sorted((*_FIRST, *extra), key=_ORDER.index)
        )
        skip = token.kind != EOF and following.kind in _FIRST
        word = "extraneous" if skip or unwanted else "mismatched"
        message = f"Syntax error: {word} input '{token.text}' expecting {{{expected}}}"
        if not skip:
            self._fail(token.offset, message)
        self._issues.report(token.offset, message)
        self._next()
        return self._unary()

    def _name(self) -> Expr:
        prefix = "." if self._accept(".") else ""
        token = self._expect("IDENTIFIER")
        if token.text in _RESERVED:
            self._fail(token.offset, f"reserved identifier: {token.text}")
        if (paren := self._accept("(")) is not None:
            return self._call(paren, prefix + token.text, None, self._arguments())
        brace = self._message_brace()
        if brace is None:
            return Ident(token.offset, prefix + token.text)
        name = prefix + token.text
        while self._token is not brace:
            name += self._next().text
        return self._message(self._next(), name)

    def _message_brace(self) -> Token | None:
        """The brace of ``a.b.c{`` when that is what stands here."""
        position = self._position
        while self._tokens[position].kind == "." and self._tokens[position + 1].kind == "IDENTIFIER":
            position += 2
        return self._tokens[position] if self._tokens[position].kind == "{" else None

    def _message(self, brace: Token, name: str) -> Expr:
        values: list[Expr] = []
        while self._accept("}") is None:
            self._accept("?")
            self._next() if self._token.kind == "ESC_IDENTIFIER" else self._expect("IDENTIFIER")
            self._expect(":")
            values.append(self.expression())
            if not self._separated("}"):
                self._expect("}")
                break
        return Message(brace.offset, name, values)

    def _list(self, bracket: Token) -> Expr:
        elements: list[Expr] = []
        optional: set[int] = set()
        self._lone_comma("]")
        while self._accept("]") is None:
            if self._accept("?") is not None:
                optional.add(len(elements))
            elif elements and self._token.kind == EOF:
                self._expect("]")
            elements.append(self.expression(() if elements else ("?", "]", ",")))
            if not self._separated("]"):
                self._expect("]")
                break
        return ListLiteral(bracket.offset, elements, frozenset(optional))

    def _lone_comma(self, closing: str) -> None:
        """``[,]`` and ``{,}`` are empty."""
        if self._token.kind == "," and self._tokens[self._position + 1].kind == closing:
            self._next()

    def _map(self, brace: Token) -> Expr:
        entries: list[Entry] = []
        self._lone_comma("}")
        while self._accept("}") is None:
            optional = self._accept("?") is not None
            key = self.expression(() if entries else ("?", "}", ","))
            colon = self._expect(":")
            entries.append(Entry(colon.offset, key, self.expression(), optional))
            if not self._separated("}"):
                self._expect("}")
                break
        return MapLiteral(brace.offset, entries)

    def _literal(self, token: Token) -> Value:
        try:
            match token.kind:
                case "STRING":
                    return string_value(token.text)
                case "BYTES":
                    return bytes_value(token.text)
        except ValueError as error:
            self._fail(token.offset, str(error))
        return self._number(token, token.offset, "")

    def _number(self, token: Token, offset: int, sign: str) -> Value:
        if token.kind == "NUM_FLOAT":
            number = float(sign + token.text)
            if number in (float("inf"), float("-inf")):
                self._fail(offset, "invalid double literal")
            return number
        unsigned = token.kind == "NUM_UINT"
        integer = int(sign + token.text.rstrip("uU"), 16 if token.text.startswith("0x") else 10)
        if unsigned:
            if integer > _MAX_UINT:
                self._fail(offset, "invalid uint literal")
            return Uint(integer)
        if not -_MAX_INT - 1 <= integer <= _MAX_INT:
            self._fail(offset, "invalid int literal")
        return integer


# The order in which ANTLR lists expected tokens: that of the lexer rules.
_ORDER = ("[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", "true", "false", "null", *_LITERALS, "IDENTIFIER")


def _balanced(function: str, terms: list[Expr], offsets: list[int]) -> Expr:
    if len(terms) == 1:
        return terms[0]
    middle = len(offsets) // 2
    left = _balanced(function, terms[: middle + 1], offsets[:middle])
    right = _balanced(function, terms[middle + 1 :], offsets[middle + 1 :])
    return Call(offsets[middle], function, None, [left, right])
