"""Tasks: who works on what, which have stopped moving, and who takes them up again."""

import asyncio
from datetime import timedelta

import pytest

from novaflow.errors import NotFound
from novaflow.models import Fault
from novaflow.states import Event
from tests.support.cloud_records import NOW, Records, request, task_of

LEASE = timedelta(seconds=60)


async def test_a_task_without_a_sign_of_life_is_stale(records: Records) -> None:
    server = await records.made()
    records.clock.advance(LEASE + timedelta(seconds=1))

    (stale,) = await records.servers.stale_tasks(records.clock.now() - LEASE, 10)

    assert (stale.server, stale.task.id, stale.task.updated_at) == (server, server.task_id, NOW)


@pytest.mark.parametrize("sign", ["renewed", "moved"])
async def test_a_sign_of_life_keeps_a_task_from_being_stale(records: Records, sign: str) -> None:
    await records.host()
    server = await records.placed()
    records.clock.advance(LEASE)

    if sign == "renewed":
        await records.servers.renew([task_of(server)])
    else:
        await records.servers.advance(server.id, task_of(server), Event.BUILD_STARTED, host="c1")

    assert await records.servers.stale_tasks(records.clock.now() - timedelta(seconds=1), 10) == []


async def test_the_lease_doubles_with_each_order_and_who_waits_for_it_hides_nobody(records: Records) -> None:
    often = [await records.made() for _ in range(2)]
    for server in often:
        for _ in range(2):
            assert await records.servers.retake(task_of(server), records.clock.now())
    records.clock.advance(timedelta(seconds=1))
    once = await records.made()

    async def found(leases: int) -> list[str]:
        records.clock.advance(NOW + leases * LEASE + timedelta(seconds=2) - records.clock.now())
        stale = await records.servers.stale_tasks(records.clock.now() - LEASE, 2, lease=LEASE)
        return [one.server.id for one in stale]

    assert await found(1) == [once.id]
    assert await found(3) == [once.id]
    assert set(await found(4)) == {server.id for server in often}


async def test_a_task_that_is_over_is_never_stale(records: Records) -> None:
    await records.host()
    await records.active()
    records.clock.advance(LEASE * 10)

    assert await records.servers.stale_tasks(records.clock.now(), 10) == []


async def test_of_many_conductors_one_takes_up_a_stale_task(records: Records) -> None:
    server = await records.made()
    records.clock.advance(LEASE * 2)
    (stale,) = await records.servers.stale_tasks(records.clock.now() - LEASE, 10)

    results = await asyncio.gather(*(records.servers.retake(stale.task.id, stale.task.updated_at) for _ in range(8)))

    assert sorted(results) == [False] * 7 + [True]
    (task,) = await records.servers.actions(server.id)
    assert task.attempts == 2


async def test_a_task_that_moved_since_it_was_seen_is_not_taken_up(records: Records) -> None:
    await records.host()
    server = await records.placed()
    seen = records.clock.now()
    records.clock.advance(timedelta(seconds=5))
    await records.servers.advance(server.id, task_of(server), Event.BUILD_STARTED, host="c1")

    assert await records.servers.retake(task_of(server), seen) is False


async def test_the_steps_of_a_task_are_read_from_its_history(records: Records) -> None:
    await records.host()
    server = await records.placed()
    task_id = task_of(server)
    await records.servers.advance(server.id, task_id, Event.BUILD_STARTED, host="c1")
    records.clock.advance(timedelta(seconds=2))
    await records.servers.advance(
        server.id, task_id, Event.BUILD_FAILED, host="c1", fault=Fault(code=500, message="why")
    )

    _, (build,) = await records.servers.action(server.id, "req-1")

    assert (build.name, build.host, build.result) == ("compute__do_build_and_run_instance", "c1", "Error")
    assert (build.started_at, build.finished_at) == (NOW, NOW + timedelta(seconds=2))
    assert build.details == "why"


async def test_actions_come_newest_first_and_outlive_the_server(records: Records) -> None:
    server = await records.made()
    records.clock.advance(timedelta(seconds=1))
    await records.servers.delete_unplaced(request(2), server)

    assert [task.action for task in await records.servers.actions(server.id)] == ["delete", "create"]
    with pytest.raises(NotFound):
        await records.servers.action(server.id, "req-99")
