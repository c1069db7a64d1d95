"""Trouble is told when it begins and when it is over."""

from __future__ import annotations

import asyncio

from fairlead.driver.spells import OVER, Spells

TROUBLE, OVER_AGAIN = "claims cannot be followed", "claims are followed again"


def told(*steps: tuple[str, str] | float) -> list[tuple[str, object]]:
    """What reaches the log: events are (event, problem), numbers are seconds to wait."""
    log: list[tuple[str, object]] = []

    async def story() -> None:
        spells = Spells(lambda event, **fields: log.append((event, fields.get("problem", ""))), steady=0.1)
        for step in steps:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                spells(step[0], problem=step[1])

    asyncio.run(story())
    return log


def test_one_line_at_the_beginning_and_one_at_the_end() -> None:
    tries = [(TROUBLE, "503")] * 4
    assert told(*tries, (OVER_AGAIN, ""), 0.3, (OVER_AGAIN, "")) == [(TROUBLE, "503"), (OVER_AGAIN, "")]


def test_another_problem_is_news_once() -> None:
    tries = [(TROUBLE, "503"), (TROUBLE, "no route"), (TROUBLE, "503"), (TROUBLE, "no route")]
    assert told(*tries) == [(TROUBLE, "503"), (TROUBLE, "no route")]


def test_what_works_for_a_moment_is_not_over() -> None:
    assert told((TROUBLE, "403"), (OVER_AGAIN, ""), (TROUBLE, "403"), 0.3) == [(TROUBLE, "403")]


def test_it_is_told_again_when_it_comes_again() -> None:
    spell = [(TROUBLE, "503"), (OVER_AGAIN, ""), 0.3]
    assert told(*spell, *spell) == [(TROUBLE, "503"), (OVER_AGAIN, "")] * 2


def test_other_events_pass_as_they_are() -> None:
    assert told(("slice", ""), ("slice", ""), (OVER_AGAIN, "")) == [("slice", "")] * 2
    assert len(set(OVER.values())) == len(OVER)
