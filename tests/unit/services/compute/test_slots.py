"""Turns at a server: one at a time, and given up for whoever takes over."""

import asyncio

import pytest

from novaflow.errors import OrderAborted, TaskSuperseded
from services.compute.slots import Slots


async def test_orders_for_one_server_run_one_after_the_other_and_others_do_not_wait() -> None:
    slots = Slots()
    done: list[str] = []
    first_may_end = asyncio.Event()

    async def first() -> None:
        async with slots.hold("a", "t1"):
            await first_may_end.wait()
            done.append("first")

    async def later(server_id: str, name: str) -> None:
        async with slots.hold(server_id, name):
            done.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        await asyncio.sleep(0)
        group.create_task(later("a", "second"))
        other = group.create_task(later("b", "other"))
        await other
        first_may_end.set()

    assert done == ["other", "first", "second"]


async def test_the_running_tasks_are_those_held_and_those_waiting_and_none_in_the_end() -> None:
    slots = Slots()

    async with slots.hold("a", "t1"), slots.hold("b", "t2"), slots.hold("c"):
        waiting = asyncio.create_task(_hold(slots, "a", "t3"))
        await asyncio.sleep(0)
        assert set(slots.running) == {"t1", "t2", "t3"}
        assert slots.is_busy("c")

    await waiting
    assert slots.running == ()
    assert not slots.is_busy("a")


async def test_work_is_given_up_when_another_task_takes_over() -> None:
    slots = Slots()
    is_cancelled = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_cancelled.set()

    async def stop() -> None:
        async with slots.hold("a", "stop") as slot:
            await slot.unless_taken_over(endless())

    stopping = asyncio.create_task(stop())
    await asyncio.sleep(0.01)
    async with slots.hold("a", "delete", takes_over=True):
        assert is_cancelled.is_set()
    with pytest.raises(TaskSuperseded):
        await stopping


async def test_work_is_not_begun_when_the_server_was_taken_over_before() -> None:
    slots = Slots()
    began = []

    async def work() -> None:
        began.append(1)

    async with slots.hold("a", "build") as slot:
        delete = asyncio.create_task(_hold(slots, "a", "delete", takes_over=True))
        await asyncio.sleep(0)
        with pytest.raises(TaskSuperseded):
            await slot.unless_taken_over(work())
    await delete

    assert began == []


async def test_the_same_order_twice_does_not_take_over_from_itself() -> None:
    slots = Slots()

    async with slots.hold("a", "delete", takes_over=True) as slot:
        again = asyncio.create_task(_hold(slots, "a", "delete", takes_over=True))
        await asyncio.sleep(0)
        assert await slot.unless_taken_over(asyncio.sleep(0, "done")) == "done"
    await again


async def test_a_process_that_ends_is_not_mistaken_for_a_takeover() -> None:
    slots = Slots()

    async def work() -> None:
        async with slots.hold("a", "stop") as slot:
            await slot.unless_taken_over(asyncio.sleep(60))

    working = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    working.cancel()

    with pytest.raises(asyncio.CancelledError):
        await working
    assert slots.running == ()


async def _hold(slots: Slots, server_id: str, task_id: str, *, takes_over: bool = False) -> None:
    async with slots.hold(server_id, task_id, takes_over=takes_over):
        pass


async def test_work_is_given_up_when_its_own_task_is_aborted() -> None:
    slots = Slots()
    async with slots.hold("a", "t1") as slot:
        work = asyncio.create_task(slot.unless_taken_over(asyncio.Event().wait()))
        await asyncio.sleep(0)

        slots.abort("a", "t2")
        assert not slot.is_aborted
        slots.abort("a", "t1")

        with pytest.raises(OrderAborted):
            await work
        with pytest.raises(OrderAborted):
            await slot.unless_taken_over(asyncio.sleep(0))
