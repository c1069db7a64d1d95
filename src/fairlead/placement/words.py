"""Numbers with their nouns, for all that is said about placements."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 node`, `3 nodes`, `2 switches`."""
    plural = "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"
