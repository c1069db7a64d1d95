"""Kubernetes resource quantities: parsing, canonical text and exact arithmetic.

Mirrors ``k8s.io/apimachinery/pkg/api/resource.Quantity``: the grammar (sign, decimals, one of the suffixes
``n u m k M G T P E``, ``Ki..Ei`` or an exponent), rounding away from zero below one nano, the cap of binary
quantities at 2**63-1, and the canonical form of each of the three formats.

Invariants:

* a quantity is ``nano`` billionths, an exact integer; no float is ever involved in parsing or arithmetic;
* equality, order and hash look at ``nano`` only: ``1Gi == 1024Mi``; ``same`` also compares the format;
* instances never change after construction (the text is only cached), so ``parse`` may share them.

Two things differ from Kubernetes on purpose. A DecimalSI value of 10**21 or more prints as thousands of ``E``
where Kubernetes drops the suffix and so prints another number. Exponents beyond +-1000 are refused, since
their exact value would be a number of thousands of digits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, final

Format = Literal["DecimalExponent", "BinarySI", "DecimalSI"]

NANO: Final = 10**9
_MAX_INT64: Final = 2**63 - 1
_MAX_EXPONENT: Final = 1000
# A decimal mantissa of up to 18 digits always fits an int64; Kubernetes keeps the text of such values.
_INT64_DIGITS: Final = 18

_SUFFIX_LETTERS: Final = frozenset("eEinumkKMGTP")
_DIGITS: Final = frozenset("0123456789")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_TEXT: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_TEXT: Final = ("", *_BINARY)

_FORMAT_WRONG: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_NUMERIC: Final = "unable to parse numeric part of quantity"
_SUFFIX: Final = "unable to parse quantity's suffix"


@final
class Quantity:
    """An exact amount with the format it is to be printed in."""

    __slots__ = ("_text", "_whole", "format", "nano")

    nano: Final[int]
    format: Final[Format]
    _text: str | None
    _whole: bool

    def __init__(self, nano: int, format: Format = "DecimalSI", text: str | None = None, whole: bool = True) -> None:
        self.nano = nano
        self.format = format
        self._text = text
        self._whole = whole

    @staticmethod
    def parse(text: str) -> Quantity:
        """The quantity written as ``text``; ValueError with the API server's wording when it is none."""
        return _parse(text)

    @staticmethod
    def from_nano(nano: int, format: Format = "DecimalSI") -> Quantity:
        return Quantity(nano, format, whole=nano % NANO == 0)

    @staticmethod
    def from_int(value: int, format: Format = "DecimalSI") -> Quantity:
        return Quantity(value * NANO, format)

    @property
    def is_integer(self) -> bool:
        """Whether the API's CEL calls this an integer.

        Kubernetes looks at how it holds the amount, so ``1000m``, ``1.5Gi`` and ``100Ti`` are none, although their
        values are whole; arithmetic passes that on.
        """
        return self._whole and -_MAX_INT64 - 1 <= self.nano // NANO <= _MAX_INT64

    @property
    def sign(self) -> int:
        return (self.nano > 0) - (self.nano < 0)

    def value(self) -> int:
        """The value as an integer, rounded away from zero."""
        return _divide_up(self.nano, NANO)

    def milli_value(self) -> int:
        """The value in thousandths, rounded away from zero."""
        return _divide_up(self.nano, NANO // 1000)

    def as_approximate_float(self) -> float:
        """The nearest thing to a float: mantissa times a power of ten, each rounded, as CEL reports it."""
        mantissa, exponent = _strip_tens(self.nano)
        if exponent >= 9:
            return float(self.nano // NANO)
        return float(mantissa) * float(f"1e{exponent - 9}")

    def same(self, other: Quantity) -> bool:
        """Equal value and equal format, so that both print alike once canonical."""
        return self.nano == other.nano and self.format == other.format

    def __add__(self, other: Quantity) -> Quantity:
        return self._sum(self.nano + other.nano, other)

    def __sub__(self, other: Quantity) -> Quantity:
        return self._sum(self.nano - other.nano, other)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format, whole=self._whole)

    def _sum(self, nano: int, other: Quantity) -> Quantity:
        # A zero has nothing worth keeping: the sum takes after the other one.
        if not self.nano:
            return Quantity(nano, other.format, whole=other._whole)
        return Quantity(nano, self.format, whole=self._whole and (other._whole or not other.nano))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano

    def __gt__(self, other: Quantity) -> bool:
        return self.nano > other.nano

    def __ge__(self, other: Quantity) -> bool:
        return self.nano >= other.nano

    def __bool__(self) -> bool:
        return self.nano != 0

    def __str__(self) -> str:
        if self._text is None:
            self._text = _canonical(self.nano, self.format)
        return self._text

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"


@lru_cache(maxsize=1 << 16)
def _parse(text: str) -> Quantity:
    if text == "0":
        return Quantity(0, "DecimalSI", text)
    negative, number, numerator, denominator, suffix = _split(text)
    base, exponent, format = _interpret(suffix)
    digits = numerator + denominator
    mantissa = int(digits)
    if base == 10:
        scale = exponent - len(denominator)
        small = len(digits) <= _INT64_DIGITS and scale >= -9
        whole = small and scale >= 0
        keep = small and scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"
        nano = _scale_up(mantissa, scale + 9)
    else:
        # Kubernetes' estimate of whether the product fits an int64; it decides about the text and the cap.
        small = not denominator and 15 - len(numerator) - exponent * 3 // 10 - 1 >= 0
        whole = small
        keep = small and mantissa & 7 != 0
        nano = _scale_up(mantissa << exponent, 9 - len(denominator))
    if not small:
        if not any(char in _DIGITS for char in number):
            raise ValueError(_NUMERIC)
        if format == "BinarySI":
            nano = min(nano, _MAX_INT64 * NANO)
            if 0 < nano < NANO:
                format = "DecimalSI"
    return Quantity(-nano if negative else nano, format, text if keep else None, whole)


def _split(text: str) -> tuple[bool, str, str, str, str]:
    """Sign, number as written, digits before and after the point, suffix.

    As lenient as the API server: a missing number is zero, so ``Ki`` and ``.`` are quantities.
    """
    if not text:
        raise ValueError(_FORMAT_WRONG)
    end = len(text)
    start = position = 1 if text[0] in "+-" else 0
    while position < end and text[position] in _DIGITS:
        position += 1
    numerator = text[start:position].lstrip("0") or "0"
    denominator = ""
    if position < end and text[position] == ".":
        start = position = position + 1
        while position < end and text[position] in _DIGITS:
            position += 1
        denominator = text[start:position]
    number = text[:position]
    start = position
    while position < end and text[position] in _SUFFIX_LETTERS:
        position += 1
    if position < end and text[position] in "+-":
        position += 1
    while position < end and text[position] in _DIGITS:
        position += 1
    if position < end:
        raise ValueError(_FORMAT_WRONG)
    return text[0] == "-", number, numerator, denominator, text[start:]


def _interpret(suffix: str) -> tuple[int, int, Format]:
    """Base, exponent and format that a suffix stands for."""
    exponent = _DECIMAL.get(suffix)
    if exponent is not None:
        return 10, exponent, "DecimalSI"
    exponent = _BINARY.get(suffix)
    if exponent is not None:
        return 2, exponent, "BinarySI"
    digits = suffix[2:] if suffix[1:2] in ("+", "-") else suffix[1:]
    if suffix[:1] in ("e", "E") and digits.isdecimal():
        exponent = int(suffix[1:])
        if abs(exponent) <= _MAX_EXPONENT:
            return 10, exponent, "DecimalExponent"
    raise ValueError(_SUFFIX)


def _scale_up(mantissa: int, exponent: int) -> int:
    """``mantissa * 10**exponent`` for a mantissa that is not negative, fractions rounded up."""
    if exponent >= 0:
        return mantissa * int(10**exponent)
    return -(-mantissa // int(10**-exponent))


def _divide_up(value: int, divisor: int) -> int:
    return -(-value // divisor) if value > 0 else value // divisor


def _strip_tens(nano: int) -> tuple[int, int]:
    """The value without trailing zeros, and how many there were."""
    exponent = 0
    while nano and nano % 10 == 0:
        nano //= 10
        exponent += 1
    return nano, exponent


def _canonical(nano: int, format: Format) -> str:
    if nano == 0:
        return "0"
    if format == "BinarySI":
        # Fractions and values below 1Ki have no binary suffix that would show them exactly.
        if nano % NANO or -1024 * NANO < nano < 1024 * NANO:
            format = "DecimalSI"
        else:
            value, power = nano // NANO, 0
            while value % 1024 == 0 and power < len(_BINARY):
                value //= 1024
                power += 1
            return f"{value}{_BINARY_TEXT[power]}"
    mantissa, exponent = _strip_tens(nano)
    exponent -= 9
    while exponent % 3:
        mantissa *= 10
        exponent -= 1
    if format == "DecimalExponent":
        return f"{mantissa}e{exponent}" if exponent else f"{mantissa}"
    if exponent > 18:
        mantissa, exponent = mantissa * int(10 ** (exponent - 18)), 18
    return f"{mantissa}{_DECIMAL_TEXT[exponent]}"
