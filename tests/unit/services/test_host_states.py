"""Host states read for many at once, and what was promised since."""

import asyncio

from novaflow.models import Host, HostResources
from services.host_states import HostStates

HOST = Host(id="h", name="c1", resources=HostResources(vcpus=1, ram_mb=1, disk_gb=1))


class Table:
    """Counts its reads, each of which waits for the test."""

    def __init__(self) -> None:
        self.reads = 0
        self.go = asyncio.Event()

    async def read(self) -> list[Host]:
        self.reads += 1
        await self.go.wait()
        return [HOST]


async def test_who_asks_while_a_read_runs_is_served_by_the_next_one_and_shares_it() -> None:
    table = Table()
    states = HostStates(table.read)
    first = asyncio.create_task(states.fresh())
    await asyncio.sleep(0)
    others = [asyncio.create_task(states.fresh()) for _ in range(10)]
    await asyncio.sleep(0)
    table.go.set()

    assert await first == [HOST]
    assert await asyncio.gather(*others) == [[HOST]] * 10
    assert table.reads == 2


async def test_who_asks_later_sees_a_later_read() -> None:
    table = Table()
    table.go.set()
    states = HostStates(table.read)

    await states.fresh()
    await states.fresh()

    assert table.reads == 2


async def test_a_promise_counts_until_a_read_that_began_after_its_claim() -> None:
    table = Table()
    table.go.set()
    states = HostStates(table.read)

    with states.promise("c1", 512):
        await states.fresh()
        assert states.promised == {"c1": 512}

    assert states.promised == {"c1": 512}
    await states.fresh()
    assert states.promised == {}


async def test_a_read_that_fails_fails_for_who_asked_and_not_for_the_next() -> None:
    answers: list[Exception | list[Host]] = [OSError("the database is away"), [HOST]]

    async def read() -> list[Host]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    states = HostStates(read)
    results = await asyncio.gather(states.fresh(), states.fresh(), return_exceptions=True)

    assert isinstance(results[0], OSError)
    assert results[1] == [HOST]
