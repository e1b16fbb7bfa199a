"""Volumes and snapshots on both databases: counted exactly, one order at a time, and never against the life of the server that has them."""

import asyncio
from typing import Any

import msgspec
import pytest

from novaflow.db.ids import new_uuid
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.errors import Conflict, Invalid, NotFound, NovaflowError, QuotaExceeded, TaskSuperseded, WrongState
from novaflow.models import Server
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import Event
from novaflow.volumes import Status, Volume, VolumeSnapshot
from tests.support.cloud_records import ALICE, NOW, PLENTY, Records, request, task_of

PROJECT = "p1"


@pytest.fixture
def volumes(records: Records) -> Volumes:
    return Volumes(records.database)


@pytest.fixture
def snapshots(records: Records) -> VolumeSnapshots:
    return VolumeSnapshots(records.database)


def draft(size_gb: int = 1, **more: Any) -> Volume:
    fields: dict[str, Any] = {
        "id": new_uuid(),
        "project_id": PROJECT,
        "user_id": "alice",
        "size_gb": size_gb,
        "status": Status.AVAILABLE,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Volume(**fields | more)


def shot(volume: Volume) -> VolumeSnapshot:
    return VolumeSnapshot(
        id=new_uuid(),
        project_id=PROJECT,
        user_id="alice",
        volume_id=volume.id,
        size_gb=0,
        status=Status.CREATING,
        created_at=NOW,
        updated_at=NOW,
        order_id=new_uuid(),
    )


async def attaching(volumes: Volumes, volume: Volume, server: Server, device: str = "") -> Volume:
    return await volumes.attach(volume.id, server.id, new_uuid(), NOW, project_id=PROJECT, device=device)


async def attached(volumes: Volumes, volume: Volume, server: Server, device: str = "") -> Volume:
    ordered = await attaching(volumes, volume, server, device)
    await volumes.report(volume.id, ordered.order_id, NOW, device=ordered.device)
    return await volumes.get(volume.id)


@pytest.mark.parametrize(("resource", "limit"), [("volumes", 3), ("gigabytes", 6)], ids=["their number", "their size"])
async def test_of_many_volumes_at_the_limit_those_that_fit_are_made(
    records: Records, volumes: Volumes, resource: str, limit: int
) -> None:
    limits = msgspec.structs.replace(QuotaLimits(), **{resource: limit})

    results = await asyncio.gather(*(volumes.create(draft(2), limits) for _ in range(8)), return_exceptions=True)

    assert sum(isinstance(result, QuotaExceeded) for result in results) == 5
    assert len(await volumes.all(PROJECT)) == 3
    standing = await records.quotas.standing(PROJECT, "alice", QuotaLimits())
    assert standing.of_project == standing.of_user == Usage(volumes=3, gigabytes=6)


async def test_snapshots_count_with_their_size_until_they_are_deleted(
    records: Records, volumes: Volumes, snapshots: VolumeSnapshots
) -> None:
    volume = await volumes.create(draft(2), PLENTY)
    limits = msgspec.structs.replace(QuotaLimits(), gigabytes=5)

    made = await snapshots.create(shot(volume), limits, project_id=PROJECT, may_be_in_use=False)
    with pytest.raises(QuotaExceeded) as refused:
        await snapshots.create(shot(volume), limits, project_id=PROJECT, may_be_in_use=False)
    assert (refused.value.resource, refused.value.used) == ("gigabytes", 4)
    await snapshots.delete(made.id, new_uuid(), NOW, project_id=PROJECT)

    standing = await records.quotas.standing(PROJECT, "", QuotaLimits())
    assert standing.of_project == Usage(volumes=1, gigabytes=2)
    assert (made.status, made.size_gb) == (Status.AVAILABLE, 2)  # of a volume that nobody has written to


async def test_a_write_that_runs_again_makes_one_volume_and_takes_one_order(records: Records, volumes: Volumes) -> None:
    await records.host()
    server, volume, order_id = await records.active(), draft(), new_uuid()

    for _ in range(2):
        await volumes.create(volume, PLENTY)
    for _ in range(2):
        ordered = await volumes.attach(volume.id, server.id, order_id, NOW, project_id=PROJECT, device="vdc")
    for _ in range(2):
        await volumes.report(volume.id, order_id, NOW, device="vdd")

    assert len(await volumes.all(PROJECT)) == 1
    assert (ordered.status, ordered.host, ordered.device) == (Status.ATTACHING, "c1", "vdc")
    found = await volumes.get(volume.id)
    assert (found.status, found.server_id, found.device) == (Status.IN_USE, server.id, "vdd")


async def test_of_many_servers_that_want_a_volume_one_gets_it(records: Records, volumes: Volumes) -> None:
    await records.host()
    servers = [await records.active(context=request(number)) for number in range(4)]
    volume = await volumes.create(draft(), PLENTY)

    results = await asyncio.gather(*(attaching(volumes, volume, one) for one in servers), return_exceptions=True)

    (won,) = [result for result in results if isinstance(result, Volume)]
    assert sum(isinstance(result, Invalid) for result in results) == 3
    assert (await volumes.get(volume.id)).server_id == won.server_id


async def test_every_volume_of_a_server_has_a_device_of_its_own(records: Records, volumes: Volumes) -> None:
    await records.host()
    server = await records.active()
    first, second, third = [await volumes.create(draft(), PLENTY) for _ in range(3)]

    found = [(await attaching(volumes, one, server)).device for one in (first, second)]

    assert found == ["vdc", "vdd"]
    with pytest.raises(Conflict, match="/dev/vdd"):
        await attaching(volumes, third, server, "vdd")
    of_servers = await volumes.of_servers([server.id, new_uuid()])
    assert {one: {volume.id for volume in found} for one, found in of_servers.items()} == {
        server.id: {first.id, second.id}
    }


async def test_a_volume_stays_on_the_host_of_its_first_server(records: Records, volumes: Volumes) -> None:
    await records.host("c1")
    await records.host("c2")
    here, there = await records.active("c1"), await records.active("c2", context=request(2))
    volume = await attached(volumes, await volumes.create(draft(), PLENTY), here)
    ordered = await volumes.detach(volume.id, here.id, new_uuid(), NOW, project_id=PROJECT)
    await volumes.report(volume.id, ordered.order_id, NOW)

    with pytest.raises(Conflict, match="kept on host c1"):
        await attaching(volumes, volume, there)

    free = await volumes.get(volume.id)
    assert (free.status, free.host, free.server_id, free.device, free.attached_at) == (
        Status.AVAILABLE, "c1", None, "", None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "fault", "after"),
    [
        (Status.ATTACHING, "no room", Status.AVAILABLE),
        (Status.DETACHING, "the guest holds it", Status.IN_USE),
    ],
    ids=str,
)
async def test_an_order_that_fails_leaves_the_volume_as_it_was_and_says_why(
    records: Records, volumes: Volumes, status: Status, fault: str, after: Status
) -> None:
    await records.host()
    server, volume = await records.active(), await volumes.create(draft(), PLENTY)
    ordered = await attaching(volumes, volume, server)
    if status is Status.DETACHING:
        await volumes.report(volume.id, ordered.order_id, NOW)
        ordered = await volumes.detach(volume.id, server.id, new_uuid(), NOW, project_id=PROJECT)

    await volumes.report(volume.id, ordered.order_id, NOW, fault=fault)

    found = await volumes.get(volume.id)
    assert (found.status, found.fault) == (after, fault)
    assert found.server_id == (server.id if after is Status.IN_USE else None)


async def test_what_is_done_after_it_was_given_up_is_not_done(records: Records, volumes: Volumes) -> None:
    await records.host()
    ordered = await attaching(volumes, await volumes.create(draft(), PLENTY), await records.active())
    await volumes.report(ordered.id, ordered.order_id, NOW, fault="its host was away")

    with pytest.raises(TaskSuperseded):
        await volumes.report(ordered.id, ordered.order_id, NOW, device="vdc")

    assert (await volumes.get(ordered.id)).status is Status.AVAILABLE


async def test_a_deleted_server_has_no_volumes_and_its_workers_hear_of_it(records: Records, volumes: Volumes) -> None:
    await records.host()
    server = await records.active()
    held = await attached(volumes, await volumes.create(draft(), PLENTY), server)
    on_its_way = await attaching(volumes, await volumes.create(draft(), PLENTY), server)

    deleting = await records.servers.order(ALICE, server, "delete", Event.DELETE_ORDERED)
    await records.servers.advance(server.id, task_of(deleting), Event.DELETED, host="c1")

    for volume in (held, on_its_way):
        found = await volumes.get(volume.id)
        assert (found.status, found.server_id, found.device) == (Status.AVAILABLE, None, "")
    with pytest.raises(TaskSuperseded):
        await volumes.report(on_its_way.id, on_its_way.order_id, NOW)


@pytest.mark.parametrize("event", [Event.RESIZE_ORDERED, Event.LIVE_MIGRATION_ORDERED, Event.SHELVE_ORDERED], ids=str)
async def test_a_server_does_not_move_with_a_volume(records: Records, volumes: Volumes, event: Event) -> None:
    await records.host()
    server = await records.active()
    await attaching(volumes, await volumes.create(draft(), PLENTY), server)

    with pytest.raises(Conflict, match="detach them first"):
        await records.servers.order(ALICE, server, "move", event)

    assert (await records.servers.get(server.id)).task_id is None


async def test_of_a_move_and_a_volume_in_the_same_moment_one_comes_first(records: Records, volumes: Volumes) -> None:
    await records.host()
    for number in range(5):
        server = await records.active(context=request(number), name=f"web{number}")
        volume = await volumes.create(draft(), PLENTY)

        moved, given = await asyncio.gather(
            records.servers.order(ALICE, server, "shelve", Event.SHELVE_ORDERED),
            attaching(volumes, volume, server),
            return_exceptions=True,
        )

        assert isinstance(moved, Conflict) or isinstance(given, WrongState)
        assert isinstance(moved, Server) or isinstance(given, Volume)


async def test_a_server_at_work_and_one_that_is_not_there_get_no_volume(records: Records, volumes: Volumes) -> None:
    await records.host()
    building, volume = await records.spawning(), await volumes.create(draft(), PLENTY)
    stopping = await records.active(context=request(2))
    await records.servers.order(ALICE, stopping, "stop", Event.STOP_ORDERED)

    for server in (building, stopping):
        with pytest.raises(WrongState):
            await attaching(volumes, volume, server)
    with pytest.raises(NotFound):
        await volumes.attach(volume.id, new_uuid(), new_uuid(), NOW, project_id=PROJECT, device="")


async def test_what_is_in_use_or_somebody_elses_is_not_deleted(records: Records, volumes: Volumes) -> None:
    await records.host()
    volume = await attached(volumes, await volumes.create(draft(), PLENTY), await records.active())

    with pytest.raises(Invalid, match="must be available or error, but is in-use"):
        await volumes.delete(volume.id, new_uuid(), NOW, project_id=PROJECT)
    with pytest.raises(NotFound):
        await volumes.delete(volume.id, new_uuid(), NOW, project_id="p2")


async def test_a_volume_on_no_host_is_gone_at_once_and_one_on_a_host_when_that_has_removed_it(volumes: Volumes) -> None:
    nowhere, somewhere = [await volumes.create(draft(host=host), PLENTY) for host in (None, "c1")]

    assert (await volumes.delete(nowhere.id, new_uuid(), NOW, project_id=PROJECT)).status is Status.DELETED
    deleting = await volumes.delete(somewhere.id, new_uuid(), NOW, project_id=PROJECT)
    assert deleting.status is Status.DELETING
    assert await volumes.ordered(somewhere.id, deleting.order_id, "c1") == deleting
    await volumes.report(somewhere.id, deleting.order_id, NOW)

    for volume in (nowhere, somewhere):
        with pytest.raises(NotFound):
            await volumes.get(volume.id)
    assert [one.status for one in await volumes.on_host("c1", [somewhere.id])] == [Status.DELETED]


async def test_what_is_being_copied_is_not_deleted_until_it_is(volumes: Volumes, snapshots: VolumeSnapshots) -> None:
    volume = await volumes.create(draft(host="c1"), PLENTY)
    snapshot = await snapshots.create(shot(volume), PLENTY, project_id=PROJECT, may_be_in_use=False)
    with pytest.raises(Invalid):
        await volumes.delete(volume.id, new_uuid(), NOW, project_id=PROJECT)
    await snapshots.report(snapshot.id, snapshot.order_id, NOW)
    made_of_it = draft(host="c1", snapshot_id=snapshot.id, status=Status.CREATING, order_id=new_uuid())
    await volumes.create(made_of_it, PLENTY)
    with pytest.raises(Invalid):
        await snapshots.delete(snapshot.id, new_uuid(), NOW, project_id=PROJECT)
    await volumes.report(made_of_it.id, made_of_it.order_id, NOW)

    assert (await volumes.delete(volume.id, new_uuid(), NOW, project_id=PROJECT)).status is Status.DELETING
    assert (await snapshots.delete(snapshot.id, new_uuid(), NOW, project_id=PROJECT)).status is Status.DELETING

    with pytest.raises(Invalid):
        await volumes.create(msgspec.structs.replace(made_of_it, id=new_uuid()), PLENTY)


async def test_of_a_snapshots_end_and_a_volume_of_it_in_the_same_moment_one_comes_first(
    volumes: Volumes, snapshots: VolumeSnapshots
) -> None:
    for _ in range(4):
        volume = await volumes.create(draft(host="c1"), PLENTY)
        snapshot = await snapshots.create(shot(volume), PLENTY, project_id=PROJECT, may_be_in_use=False)
        await snapshots.report(snapshot.id, snapshot.order_id, NOW)
        made_of_it = draft(host="c1", snapshot_id=snapshot.id, status=Status.CREATING, order_id=new_uuid())

        results = await asyncio.gather(
            volumes.create(made_of_it, PLENTY),
            snapshots.delete(snapshot.id, new_uuid(), NOW, project_id=PROJECT),
            return_exceptions=True,
        )

        assert [isinstance(result, Invalid) for result in results].count(True) == 1


async def test_a_volume_that_ends_with_its_server_gives_its_snapshot_first(
    records: Records, volumes: Volumes, snapshots: VolumeSnapshots
) -> None:
    await records.host()
    server = await records.active()
    volume = await attached(volumes, await volumes.create(draft(), PLENTY), server)
    await volumes.end_with_server(volume.id, server.id, NOW, ends=True)
    snapshot = await snapshots.create(shot(volume), PLENTY, project_id=PROJECT, may_be_in_use=True)
    deleting = await records.servers.order(ALICE, server, "delete", Event.DELETE_ORDERED)
    await records.servers.advance(server.id, task_of(deleting), Event.DELETED, host="c1")

    assert await volumes.stale(NOW, 10) == []
    await snapshots.report(snapshot.id, snapshot.order_id, NOW)

    assert [stale.thing.id for stale in await volumes.stale(NOW, 10)] == [volume.id]


async def test_of_many_conductors_one_sends_a_stale_order_again(volumes: Volumes) -> None:
    volume = await volumes.create(draft(host="c1"), PLENTY)
    await volumes.delete(volume.id, new_uuid(), NOW, project_id=PROJECT)
    later = NOW.replace(hour=13)
    (stale,) = await volumes.stale(later, 10)

    taken = await asyncio.gather(*(volumes.retake(stale, later) for _ in range(4)))

    assert sorted(taken) == [False, False, False, True]
    assert await volumes.stale(later, 10) == []
    assert [one.orders for one in await volumes.stale(later.replace(hour=14), 10)] == [2]


async def test_an_order_is_for_its_host_alone(volumes: Volumes) -> None:
    volume = await volumes.create(draft(host="c1"), PLENTY)
    deleting = await volumes.delete(volume.id, new_uuid(), NOW, project_id=PROJECT)

    for order_id, host in ((new_uuid(), "c1"), (deleting.order_id, "c2")):
        with pytest.raises(NovaflowError):
            await volumes.ordered(volume.id, order_id, host)
