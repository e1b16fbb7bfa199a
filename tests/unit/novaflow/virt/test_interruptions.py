import asyncio

import pytest

from novaflow.virt.image_facts import Refused
from novaflow.virt.interruptions import Interruptions


async def long_work(interruptions: Interruptions, cleaned: list[str]) -> None:
    with interruptions.allowed("guest"):
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("cleaned")


async def begun(interruptions: Interruptions, cleaned: list[str]) -> "asyncio.Task[None]":
    task = asyncio.create_task(long_work(interruptions, cleaned))
    await asyncio.sleep(0)
    return task


async def test_interrupted_work_cleans_up_and_is_refused() -> None:
    interruptions, cleaned = Interruptions(), list[str]()
    task = await begun(interruptions, cleaned)

    interruptions.interrupt("guest")
    interruptions.interrupt("guest")

    with pytest.raises(Refused, match="destroyed"):
        await task
    assert cleaned == ["cleaned"]


async def test_a_cancelled_caller_is_cancelled_interrupted_or_not() -> None:
    interruptions, cleaned = Interruptions(), list[str]()
    task = await begun(interruptions, cleaned)

    interruptions.interrupt("guest")
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_there_may_be_nothing_to_interrupt() -> None:
    interruptions, cleaned = Interruptions(), list[str]()
    task = await begun(interruptions, cleaned)

    interruptions.interrupt("another")

    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    interruptions.interrupt("guest")
