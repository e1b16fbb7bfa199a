"""What actions write beside a server's state, on both databases: locks, what it is rebuilt of, what it comes back from the shelf as."""

import asyncio
from datetime import timedelta

import pytest

from novaflow.db import accompaniments
from novaflow.db.locking import ServerLocks
from novaflow.db.migration_records import MigrationQuery, Migrations
from novaflow.db.moving import LIVE, RESIZE
from novaflow.errors import NotFound, QuotaExceeded
from novaflow.models import ImageFacts, InjectedFile, Server
from novaflow.quotas import QuotaLimits
from novaflow.states import Event
from novaflow.tasks import TaskParams
from tests.support.cloud_records import ALICE, PLENTY, Records, request, task_of


@pytest.fixture
async def hosts(records: Records) -> Records:
    """Two hosts."""
    await records.host("c1")
    await records.host("c2")
    return records


def locks_of(records: Records) -> ServerLocks:
    return ServerLocks(records.database, records.clock)


async def report(records: Records, server: Server, *happened: Event) -> None:
    for event in happened:
        await records.servers.advance(server.id, task_of(server), event)


async def test_a_lock_is_set_and_taken_off_and_who_set_it_last_is_known(hosts: Records) -> None:
    server, locks = await hosts.active(), locks_of(hosts)
    assert await locks.locked_from(server.id) is None

    await locks.set(ALICE, server.id, is_locked=True)
    assert (await hosts.servers.get(server.id)).is_locked
    assert await locks.locked_from(server.id) == ALICE.project_id
    await locks.set(ALICE, server.id, is_locked=False)

    assert not (await hosts.servers.get(server.id)).is_locked
    assert {task.action: task.state for task in await hosts.servers.actions(server.id)} == dict.fromkeys(
        ("create", "lock", "unlock"), "done"
    )


async def test_what_is_gone_cannot_be_locked(hosts: Records) -> None:
    server = await hosts.active()
    await hosts.servers.delete_locally(ALICE, server)

    with pytest.raises(NotFound):
        await locks_of(hosts).set(ALICE, server.id, is_locked=True)


async def test_locks_set_at_once_are_each_an_action(hosts: Records) -> None:
    server, locks = await hosts.active(), locks_of(hosts)

    await asyncio.gather(*(locks.set(ALICE, server.id, is_locked=True) for _ in range(8)))

    assert [task.action for task in await hosts.servers.actions(server.id)].count("lock") == 8


async def test_moves_are_found_by_server_kind_and_host(hosts: Records) -> None:
    records = Migrations(hosts.database)
    first, second = await hosts.active(), await hosts.active()
    for server, kind, event in ((first, RESIZE, Event.RESIZE_ORDERED), (second, LIVE, Event.LIVE_MIGRATION_ORDERED)):
        accompany = accompaniments.of_move(kind, PLENTY)
        await hosts.servers.order(request(2), server, kind, event, accompany=accompany)

    async def found(query: MigrationQuery) -> list[str]:
        return [move.server_id for move in await records.list(query)]

    assert await found(MigrationQuery()) == [second.id, first.id]
    assert await found(MigrationQuery(server_id=first.id)) == [first.id]
    assert await found(MigrationQuery(type=LIVE)) == [second.id]
    assert await found(MigrationQuery(host=first.host)) == await found(MigrationQuery())
    assert await found(MigrationQuery(host="elsewhere")) == []
    (move,) = await records.list(MigrationQuery(server_id=first.id))
    assert await records.get(first.id, move.id) == move
    with pytest.raises(NotFound):
        await records.get(second.id, move.id)


async def test_a_rebuild_says_what_the_server_is_made_of_from_now_on(hosts: Records) -> None:
    server = await hosts.active()
    image, files = ImageFacts(id="new"), (InjectedFile(path="/etc/motd", contents="aGVsbG8="),)

    ordered = await hosts.servers.order(
        request(2),
        server,
        "rebuild",
        Event.REBUILD_ORDERED,
        changes={"image_id": "new"},
        accompany=accompaniments.of_rebuild(image, files),
    )

    found = await hosts.servers.assignment(server.id, task_of(ordered), server.host or "")
    assert (found.plan.image, found.plan.files, found.plan.server.image_id) == (image, files, "new")
    assert found.params == TaskParams(image_id="new")


async def test_a_server_comes_back_from_the_image_of_its_last_shelving(hosts: Records) -> None:
    server = await hosts.active()
    for image_id in ("first", "second"):
        seen = await hosts.servers.get(server.id)
        params = TaskParams(image_id=image_id, image_name="web-shelved")
        shelving = await hosts.servers.order(request(2), seen, "shelve", Event.SHELVE_ORDERED, params=params)
        await report(hosts, shelving, Event.UPLOAD_WANTED, Event.UPLOAD_STARTED, Event.SHELVED)
        seen = await hosts.servers.get(server.id)
        accompany = accompaniments.of_unshelving()
        back = await hosts.servers.order(request(3), seen, "unshelve", Event.UNSHELVE_ORDERED, accompany=accompany)
        assert (await hosts.servers.assignment(server.id, task_of(back), server.host or "")).params == params
        await report(hosts, back, Event.UNSHELVE_POWERING_ON, Event.STARTED)
        hosts.clock.advance(timedelta(seconds=1))


async def test_a_restore_is_counted_or_has_not_happened(hosts: Records) -> None:
    server = await hosts.active()
    gone = await hosts.servers.order(request(2), server, "delete", Event.SOFT_DELETE_ORDERED)
    await report(hosts, gone, Event.SOFT_DELETED)
    kept = await hosts.servers.get(server.id)

    with pytest.raises(QuotaExceeded):
        await restore(hosts, kept, QuotaLimits(instances=0))
    assert await hosts.servers.get(server.id) == kept
    assert (await hosts.quotas.usage(kept.project_id, kept.user_id)).instances == 0
    back = await restore(hosts, kept, PLENTY)

    await report(hosts, back, Event.RESTORED)
    assert (await hosts.quotas.usage(kept.project_id, kept.user_id)).instances == 1
    assert await hosts.quotas.reconcile() == []


async def restore(records: Records, server: Server, limits: QuotaLimits) -> Server:
    accompany = accompaniments.of_restore(limits)
    return await records.servers.order(request(3), server, "restore", Event.RESTORE_ORDERED, accompany=accompany)
