"""Expired tokens are forgotten in the background, also after the database was away."""

import asyncio

import pytest

from novaflow.errors import ServiceUnavailable
from novaflow.identity.tokens import digest
from services.identity.authority import purge
from tests.support.clocks import ManualClock
from tests.support.identity import START, IdentityWorld


class Nights(ManualClock):
    """A clock on which every sleep is a day long, until the days are over."""

    def __init__(self, days: int) -> None:
        super().__init__(START)
        self._days = days

    async def sleep(self, seconds: float) -> None:
        """A day passes."""
        if seconds:
            if not self._days:
                raise asyncio.CancelledError
            self._days -= 1
            await super().sleep(86400)


async def test_expired_tokens_are_purged_and_valid_ones_are_not(world: IdentityWorld) -> None:
    tokens = world.service.authority.records.tokens

    with pytest.raises(asyncio.CancelledError):
        await purge(world.service.authority, ManualNow(), 60.0)
    assert await world.is_valid(world.token)
    with pytest.raises(asyncio.CancelledError):
        await purge(world.service.authority, Nights(1), 60.0)

    assert await tokens.find([digest(world.token)], START) == {}


class ManualNow(Nights):
    """One night that takes no time."""

    def __init__(self) -> None:
        super().__init__(1)

    def advance(self, by: object) -> None:
        """No time passes."""


async def test_a_database_that_is_away_only_puts_it_off(
    world: IdentityWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = world.service.authority.records.tokens
    real = tokens.purge
    failures = [ServiceUnavailable(service="database", reason="away")]

    async def failing_once(now: object) -> int:
        if failures:
            raise failures.pop()
        return await real(now)  # type: ignore[arg-type]

    monkeypatch.setattr(tokens, "purge", failing_once)
    with pytest.raises(asyncio.CancelledError):
        await purge(world.service.authority, Nights(2), 60.0)

    assert "purged later" in caplog.text
    assert await tokens.find([digest(world.token)], START) == {}
