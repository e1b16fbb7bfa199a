"""Answers that are kept for a moment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from novaflow.recent import Recent
from tests.support.clocks import ManualClock


def nothing() -> None:
    """Nothing happens."""


class Shelf:
    """Something that is read; `reads` counts how often."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2014, 4, 17, tzinfo=UTC))
        self.value = "old"
        self.reads = 0
        self.while_reading: Callable[[], None] = nothing

    async def read(self) -> str:
        self.reads += 1
        value = self.value
        self.while_reading()
        return value


async def test_an_answer_serves_until_it_is_too_old() -> None:
    shelf = Shelf()
    recent = Recent(shelf.read, shelf.clock, seconds=1.0)
    assert await recent.get() == "old"
    shelf.value = "new"

    shelf.clock.advance(timedelta(seconds=0.9))
    assert (await recent.get(), shelf.reads) == ("old", 1)

    shelf.clock.advance(timedelta(seconds=0.1))
    assert (await recent.get(), shelf.reads) == ("new", 2)


async def test_what_was_changed_before_forgetting_is_in_the_next_answer() -> None:
    shelf = Shelf()
    recent = Recent(shelf.read, shelf.clock, seconds=1.0)
    await recent.get()

    shelf.value = "new"
    recent.forget()

    assert await recent.get() == "new"


async def test_an_answer_that_was_read_while_it_changed_is_not_kept() -> None:
    shelf = Shelf()
    recent = Recent(shelf.read, shelf.clock, seconds=1.0)

    def change() -> None:
        shelf.value = "new"
        recent.forget()
        shelf.while_reading = nothing

    shelf.while_reading = change
    assert await recent.get() == "old"

    assert await recent.get() == "new"
