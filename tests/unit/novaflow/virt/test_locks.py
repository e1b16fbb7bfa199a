import asyncio

from novaflow.virt.locks import GuestLocks


async def test_one_operation_at_a_time_per_guest_and_no_more_order_than_that() -> None:
    locks = GuestLocks()
    order: list[str] = []

    async def work(guest: str, name: str) -> None:
        async with locks.hold(guest):
            order.append(f"{name} begins")
            await asyncio.sleep(0.01)
            order.append(f"{name} ends")

    await asyncio.gather(work("a", "first"), work("a", "second"), work("b", "other"))

    assert order == ["first begins", "other begins", "first ends", "other ends", "second begins", "second ends"]


async def test_who_wants_several_waits_for_each_and_two_who_do_never_wait_for_each_other() -> None:
    locks = GuestLocks()
    order: list[str] = []

    async def work(name: str, *guests: str) -> None:
        async with locks.hold_all(guests):
            order.append(name)
            await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        await asyncio.gather(work("first", "c"), work("second", "a", "c", "b"), work("third", "b", "a"))

    assert order == ["first", "second", "third"]
    assert locks._locks == {}


async def test_a_lock_is_forgotten_when_nobody_wants_it() -> None:
    locks = GuestLocks()

    async with locks.hold("a"):
        pass

    assert locks._locks == {}
