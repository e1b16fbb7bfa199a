"""A guest's memory: pausing, saving and going on, and what forgets it. A guest that went on did not boot."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from novaflow.errors import GuestFailed
from novaflow.states import Power
from novaflow.virt.driver import Driver, GuestState
from tests.support.hypervisors import Hypervisor

Operation = Callable[[Driver, str], Awaitable[None]]

OPERATIONS: dict[str, Operation] = {
    "pause": lambda driver, server_id: driver.pause(server_id),
    "unpause": lambda driver, server_id: driver.unpause(server_id),
    "suspend": lambda driver, server_id: driver.suspend(server_id),
    "resume": lambda driver, server_id: driver.resume(server_id),
}


async def test_a_paused_guest_goes_on_where_it_stood(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    for _ in range(2):
        await hypervisor.driver.pause(guest.server_id)
        assert await hypervisor.driver.power(guest.server_id) == Power.PAUSED
    for _ in range(2):
        await hypervisor.driver.unpause(guest.server_id)
        assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING

    assert await hypervisor.boots(guest.server_id) == 1


async def test_a_guest_whose_memory_is_saved_is_off_and_goes_on_when_it_is_resumed(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    for _ in range(2):
        await hypervisor.driver.suspend(guest.server_id)
        assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.SHUTDOWN)]
    for _ in range(2):
        await hypervisor.driver.resume(guest.server_id)
        assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING

    assert await hypervisor.boots(guest.server_id) == 1
    await hypervisor.driver.reboot(guest.server_id, hard=True, timeout=0)
    await hypervisor.said(guest.server_id, times=2)


async def test_saved_memory_goes_on_by_power_on_too(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.suspend(guest.server_id)

    await hypervisor.driver.power_on(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert await hypervisor.boots(guest.server_id) == 1


async def test_resuming_lets_a_paused_guest_go_on(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.pause(guest.server_id)

    await hypervisor.driver.resume(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert await hypervisor.boots(guest.server_id) == 1


async def test_a_guest_without_saved_memory_boots_when_it_is_resumed(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.power_off(guest.server_id, 0)

    await hypervisor.driver.resume(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    await hypervisor.said(guest.server_id, times=2)


@pytest.mark.parametrize("by", ["power off", "hard reboot"])
async def test_saved_memory_is_forgotten(hypervisor: Hypervisor, by: str) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.suspend(guest.server_id)

    if by == "power off":
        await hypervisor.driver.power_off(guest.server_id, 5)
        assert await hypervisor.driver.power(guest.server_id) == Power.SHUTDOWN
        await hypervisor.driver.power_on(guest.server_id)
    else:
        await hypervisor.driver.reboot(guest.server_id, hard=True, timeout=0)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    await hypervisor.said(guest.server_id, times=2)


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
async def test_a_paused_guest_can_be_rebooted(hypervisor: Hypervisor, hard: bool) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.pause(guest.server_id)

    await hypervisor.driver.reboot(guest.server_id, hard=hard, timeout=60)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    await hypervisor.said(guest.server_id, times=2)


async def test_a_paused_guest_is_not_asked_to_power_off_for_it_cannot_answer(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.pause(guest.server_id)
    asked_at = time.monotonic()

    await hypervisor.driver.power_off(guest.server_id, 60)

    assert time.monotonic() - asked_at < 30
    assert await hypervisor.driver.power(guest.server_id) == Power.SHUTDOWN


async def test_a_paused_guest_can_be_saved(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.pause(guest.server_id)

    await hypervisor.driver.suspend(guest.server_id)
    assert await hypervisor.driver.power(guest.server_id) == Power.SHUTDOWN
    await hypervisor.driver.resume(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert await hypervisor.boots(guest.server_id) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_never_was_has_no_memory(hypervisor: Hypervisor, operation: str) -> None:
    nobody = str(uuid.uuid4())

    with pytest.raises(GuestFailed) as failed:
        await OPERATIONS[operation](hypervisor.driver, nobody)

    assert (failed.value.operation, failed.value.server_id) == (operation, nobody)


@pytest.mark.parametrize("operation", ["pause", "unpause", "suspend"])
async def test_a_guest_that_is_off_has_no_memory(hypervisor: Hypervisor, operation: str) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.power_off(guest.server_id, 0)

    with pytest.raises(GuestFailed) as failed:
        await OPERATIONS[operation](hypervisor.driver, guest.server_id)

    assert (failed.value.operation, failed.value.server_id) == (operation, guest.server_id)
    assert await hypervisor.driver.power(guest.server_id) == Power.SHUTDOWN


@pytest.mark.parametrize("operation", ["pause", "unpause"])
async def test_a_guest_whose_memory_is_saved_is_off(hypervisor: Hypervisor, operation: str) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.suspend(guest.server_id)

    with pytest.raises(GuestFailed):
        await OPERATIONS[operation](hypervisor.driver, guest.server_id)

    await hypervisor.driver.resume(guest.server_id)
    assert await hypervisor.boots(guest.server_id) == 1


async def test_memory_that_was_paused_or_saved_outlives_the_driver(hypervisor: Hypervisor) -> None:
    still, saved = await hypervisor.running(), await hypervisor.running(addresses=())
    await hypervisor.driver.pause(still.server_id)
    await hypervisor.driver.suspend(saved.server_id)

    await hypervisor.restart()

    found = {guest.server_id: guest.power for guest in await hypervisor.driver.guests()}
    assert found == {still.server_id: Power.PAUSED, saved.server_id: Power.SHUTDOWN}
    await hypervisor.driver.unpause(still.server_id)
    await hypervisor.driver.resume(saved.server_id)
    for guest in (still, saved):
        assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
        assert await hypervisor.boots(guest.server_id) == 1


async def test_a_saved_guest_that_is_destroyed_leaves_nothing_to_the_next_of_its_id(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.suspend(guest.server_id)
    await hypervisor.driver.destroy(guest.server_id)
    assert await hypervisor.driver.power(guest.server_id) == Power.NOSTATE

    await hypervisor.driver.spawn(guest)

    await hypervisor.said(guest.server_id)


@pytest.mark.parametrize("operation", ["suspend", "resume"])
async def test_a_cancelled_save_or_resume_leaves_the_guest_with_its_memory(
    hypervisor: Hypervisor, operation: str
) -> None:
    guest = await hypervisor.running()
    if operation == "resume":
        await hypervisor.driver.suspend(guest.server_id)
    working = asyncio.ensure_future(OPERATIONS[operation](hypervisor.driver, guest.server_id))
    await asyncio.sleep(0.05)  # somewhere in the middle, for the driver that takes its time

    working.cancel()
    await asyncio.wait([working])

    await hypervisor.driver.resume(guest.server_id)
    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert await hypervisor.boots(guest.server_id) == 1


async def test_listeners_hear_of_pausing_and_saving(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    events = hypervisor.driver.events()

    await hypervisor.driver.pause(guest.server_id)
    await hears(events, GuestState(server_id=guest.server_id, power=Power.PAUSED))
    await hypervisor.driver.unpause(guest.server_id)
    await hears(events, GuestState(server_id=guest.server_id, power=Power.RUNNING))
    await hypervisor.driver.suspend(guest.server_id)
    await hears(events, GuestState(server_id=guest.server_id, power=Power.SHUTDOWN))
    await hypervisor.driver.resume(guest.server_id)
    await hears(events, GuestState(server_id=guest.server_id, power=Power.RUNNING))


async def hears(events: AsyncIterator[GuestState], wanted: GuestState) -> None:
    """Wait until that is told; what else is told before it is no matter."""
    async with asyncio.timeout(30):
        while await anext(events) != wanted:
            pass
