import asyncio

from novaflow.states import Power
from novaflow.virt.driver import GuestState
from novaflow.virt.events import BACKLOG, PowerEvents


def state(name: str) -> GuestState:
    return GuestState(server_id=name, power=Power.RUNNING)


async def test_every_listener_hears_everything_since_it_listens() -> None:
    events = PowerEvents()
    events.publish(state("before"))
    first, second = events.listen(), events.listen()

    for name in ("a", "b"):
        events.publish(state(name))
    events.close()

    assert [heard.server_id async for heard in first] == ["a", "b"]
    assert [heard.server_id async for heard in second] == ["a", "b"]


async def test_a_listener_that_is_too_slow_loses_the_oldest() -> None:
    events = PowerEvents()
    listener = events.listen()

    for number in range(BACKLOG + 1):
        events.publish(state(str(number)))
    events.close()

    heard = [heard.server_id async for heard in listener]
    assert heard[-1] == str(BACKLOG)
    assert "0" not in heard


async def test_nobody_listens_to_what_is_closed_until_it_is_opened_again() -> None:
    events = PowerEvents()
    events.close()

    assert [heard async for heard in events.listen()] == []

    events.reopen()
    again = asyncio.ensure_future(anext(events.listen()))
    await asyncio.sleep(0)
    events.publish(state("a"))
    assert await again == state("a")
