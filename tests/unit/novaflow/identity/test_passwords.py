"""What passwords must do, with parameters that cost a test nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from novaflow.identity.passwords import MEMORY_KIB, PASSES, Passwords
from tests.support.clocks import ManualClock
from tests.support.identity import START


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
async def passwords(clock: ManualClock) -> AsyncIterator[Passwords]:
    made = Passwords(clock, memory_kib=64, passes=1)
    yield made
    made.close()


async def test_a_password_matches_its_own_hash_only(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")

    assert await passwords.matches("correct horse", stored)
    assert not await passwords.matches("correct horsf", stored)
    assert not await passwords.matches("", stored)


@pytest.mark.parametrize(
    "password", ["", "ä€😀", "x" * 5000, "a\0b", "\ud800"], ids=["empty", "wide", "long", "nul", "half"]
)
async def test_any_text_can_be_a_password_or_be_refused_without_harm(passwords: Passwords, password: str) -> None:
    stored = await passwords.hash("another")

    assert not await passwords.matches(password, stored)


async def test_no_one_has_the_password_of_a_user_that_is_not_there(passwords: Passwords) -> None:
    assert not await passwords.matches("anything", None)
    assert not await passwords.matches("", None)


async def test_what_is_no_hash_matches_nothing(passwords: Passwords) -> None:
    assert not await passwords.matches("plain", "plain")


async def test_a_login_is_remembered_for_a_minute_and_a_changed_hash_is_not(
    passwords: Passwords, clock: ManualClock
) -> None:
    stored, changed = await passwords.hash("old"), await passwords.hash("new")
    assert await passwords.matches("old", stored)
    passwords.close()  # from here on only memory can answer

    assert await passwords.matches("old", stored)
    for password, other in (("old", changed), ("new", stored)):
        with pytest.raises(RuntimeError):
            await passwords.matches(password, other)
    clock.advance(timedelta(seconds=60))
    with pytest.raises(RuntimeError):
        await passwords.matches("old", stored)


async def test_a_refusal_is_not_remembered(passwords: Passwords) -> None:
    stored = await passwords.hash("right")
    assert not await passwords.matches("wrong", stored)
    passwords.close()

    with pytest.raises(RuntimeError):
        await passwords.matches("wrong", stored)


async def test_a_hash_of_other_parameters_is_outdated_and_still_matches(
    passwords: Passwords, clock: ManualClock
) -> None:
    stronger = Passwords(clock, memory_kib=128, passes=1)
    stored = await passwords.hash("secret")

    assert stronger.is_outdated(stored)
    assert not passwords.is_outdated(stored)
    assert await stronger.matches("secret", stored)
    stronger.close()


async def test_the_parameters_are_the_least_that_owasp_recommends(clock: ManualClock) -> None:
    real = Passwords(clock)
    stored = await real.hash("secret")
    real.close()

    assert (MEMORY_KIB, PASSES) == (19456, 2)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_the_loop_goes_on_while_passwords_are_checked(clock: ManualClock) -> None:
    real = Passwords(clock)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await real.hash("secret")
    counting.cancel()
    real.close()

    assert turns > 10
