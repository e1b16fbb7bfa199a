"""Volumes that servers are made with, on both databases: booked with the server, its own when it runs, given back when it ends."""

import asyncio
from typing import Any

import msgspec
import pytest

from novaflow.data_disks import NewDisk
from novaflow.db.ids import new_uuid
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.errors import Conflict, Invalid, NotFound, NovaflowError, QuotaExceeded
from novaflow.models import BuildVolume, Fault, Server
from novaflow.quotas import QuotaLimits
from novaflow.states import Event, Power
from novaflow.volumes import Status, Volume, VolumeSnapshot
from tests.support.cloud_records import ALICE, BUILDING, NOW, PLENTY, Records, task_of

FAULT = Fault(code=500, message="broken")


@pytest.fixture
def volumes(records: Records) -> Volumes:
    return Volumes(records.database)


def new(**more: Any) -> NewDisk:
    fields: dict[str, Any] = {"volume_id": new_uuid(), "is_new": True, "device": "vdc", "size_gb": 2}
    return NewDisk(**fields | more)


async def made(volumes: Volumes, **more: Any) -> Volume:
    fields: dict[str, Any] = {
        "id": new_uuid(), "project_id": "p1", "user_id": "alice", "size_gb": 1, "status": Status.AVAILABLE,
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return await volumes.create(Volume(**fields | more), PLENTY)


async def copied(records: Records, volume: Volume) -> VolumeSnapshot:
    """A snapshot that is there."""
    snapshots, draft = VolumeSnapshots(records.database), VolumeSnapshot(
        id=new_uuid(), project_id="p1", user_id="alice", volume_id=volume.id, size_gb=0, status=Status.CREATING,
        created_at=NOW, updated_at=NOW, order_id=new_uuid(),
    )  # fmt: skip
    made = await snapshots.create(draft, PLENTY, project_id="p1", may_be_in_use=False)
    if made.host:
        await snapshots.report(made.id, made.order_id, NOW)
    return await snapshots.get(made.id)


def given(volume: Volume, **more: Any) -> NewDisk:
    return new(volume_id=volume.id, is_new=False, host=volume.host, size_gb=volume.size_gb, **more)


async def spawned(records: Records, server: Server) -> None:
    """The server is placed; its guest runs."""
    for event in BUILDING[1:]:
        await records.servers.advance(server.id, task_of(server), event, host="c1")
    await records.servers.advance(
        server.id, task_of(server), Event.SPAWNED, host="c1", power=Power.RUNNING, takes_volumes=True
    )


async def status_of(volumes: Volumes, volume_id: str) -> tuple[Status, str | None, str | None]:
    (found,) = await volumes.on_host("", [volume_id])
    return found.status, found.server_id, found.host


async def test_a_server_has_its_volumes_from_the_moment_it_runs(records: Records, volumes: Volumes) -> None:
    await records.host()
    source = await copied(records, await made(volumes, host="c1"))
    old, fresh = await made(volumes), new(snapshot_id=source.id, availability_zone="az", delete_on_termination=True)

    server = await records.placed(disks=(fresh, given(old, device="vdd")))

    for volume_id in (fresh.volume_id, old.id):
        assert await status_of(volumes, volume_id) == (Status.RESERVED, server.id, None)
    plan = await records.servers.start_build(server.id, task_of(server), "c1")
    assert plan.volumes == (
        BuildVolume(id=fresh.volume_id, size_gb=2, device="vdc", snapshot_id=fresh.snapshot_id or ""),
        BuildVolume(id=old.id, size_gb=1, device="vdd"),
    )
    await spawned(records, server)

    for volume_id in (fresh.volume_id, old.id):
        assert await status_of(volumes, volume_id) == (Status.IN_USE, server.id, "c1")
    kept = await volumes.get(fresh.volume_id)
    assert (kept.delete_on_termination, kept.availability_zone, kept.device) == (True, "az", "vdc")


async def test_what_a_snapshot_holds_is_not_deleted_while_a_server_is_made_with_it(
    records: Records, volumes: Volumes
) -> None:
    await records.host()
    snapshots, source = VolumeSnapshots(records.database), await copied(records, await made(volumes, host="c1"))
    server = await records.placed(disks=(new(snapshot_id=source.id),))

    with pytest.raises(Invalid):
        await snapshots.delete(source.id, new_uuid(), NOW, project_id="p1")
    await records.servers.start_build(server.id, task_of(server), "c1")
    await spawned(records, server)
    await snapshots.delete(source.id, new_uuid(), NOW, project_id="p1")

    with pytest.raises(Invalid):
        await records.placed(disks=(new(snapshot_id=source.id),))


async def test_a_volume_of_a_snapshot_without_content_is_made_empty(records: Records, volumes: Volumes) -> None:
    await records.host()
    blank = await copied(records, await made(volumes))
    server = await records.placed(disks=(new(snapshot_id=blank.id),))

    plan = await records.servers.start_build(server.id, task_of(server), "c1")

    assert [volume.snapshot_id for volume in plan.volumes] == [""]


async def test_a_server_without_volumes_is_planned_without_any(records: Records) -> None:
    await records.host()
    server = await records.placed()

    assert (await records.servers.start_build(server.id, task_of(server), "c1")).volumes == ()


async def test_those_that_end_with_their_server_are_deleted_and_the_others_are_free(
    records: Records, volumes: Volumes
) -> None:
    await records.host()
    old, doomed, kept = await made(volumes), new(delete_on_termination=True), new(device="vde")
    server = await records.placed(disks=(doomed, kept, given(old, device="vdd")))
    await records.servers.start_build(server.id, task_of(server), "c1")
    await spawned(records, server)

    deleting = await records.servers.order(ALICE, await records.servers.get(server.id), "delete", Event.DELETE_ORDERED)
    await records.servers.advance(server.id, task_of(deleting), Event.DELETED, host="c1")

    assert await status_of(volumes, doomed.volume_id) == (Status.DELETING, None, "c1")
    for volume_id in (old.id, kept.volume_id):
        assert await status_of(volumes, volume_id) == (Status.AVAILABLE, None, "c1")
    (stale,) = await volumes.stale(NOW, 10)  # so it is ordered at the next look
    assert (stale.thing.id, stale.orders) == (doomed.volume_id, 0)


@pytest.mark.parametrize("how", ["deleted", "no host was found", "its build failed"])
async def test_a_server_that_never_ran_gives_its_volumes_back(records: Records, volumes: Volumes, how: str) -> None:
    await records.host()
    old, doomed = await made(volumes), new(delete_on_termination=True)
    disks = (doomed, given(old, device="vdd"))

    if how == "deleted":
        server = await records.made(disks=disks)
        assert await records.servers.delete_unplaced(ALICE, server)
    elif how == "no host was found":
        server = await records.made(disks=disks)
        await records.servers.advance(server.id, task_of(server), Event.BUILD_FAILED, fault=FAULT)
    else:
        server = await records.placed(disks=disks)
        await records.servers.start_build(server.id, task_of(server), "c1")
        await records.servers.advance(server.id, task_of(server), Event.BUILD_FAILED, host="c1", fault=FAULT)

    assert await status_of(volumes, doomed.volume_id) == (Status.DELETED, None, None)
    assert await status_of(volumes, old.id) == (Status.AVAILABLE, None, None)


async def test_a_volume_is_booked_by_one_server(records: Records, volumes: Volumes) -> None:
    volume = await made(volumes)

    results = await asyncio.gather(
        *(records.made(disks=(given(volume), new(device="vde"))) for _ in range(6)), return_exceptions=True
    )

    assert sum(isinstance(result, Server) for result in results) == 1
    refused = [result for result in results if isinstance(result, NovaflowError)]
    assert all(isinstance(result, Invalid) and "status must be 'available'" in str(result) for result in refused)
    assert len(await volumes.all("p1")) == 2  # nothing is left of those that were refused
    assert (await records.quotas.standing("p1", "alice", QuotaLimits())).of_project.instances == 1


async def test_a_volume_that_went_to_a_host_meanwhile_binds_no_server_to_another(
    records: Records, volumes: Volumes
) -> None:
    volume = await made(volumes, host="c2")

    with pytest.raises(Conflict, match="another host"):
        await records.made(disks=(given(msgspec.structs.replace(volume, host=None)),))
    with pytest.raises(Invalid, match="status must be 'available'"):
        await records.made(disks=(given(msgspec.structs.replace(volume, project_id="p2", id=new_uuid())),))

    assert (await volumes.get(volume.id)).status is Status.AVAILABLE


@pytest.mark.parametrize(("resource", "limit"), [("volumes", 3), ("gigabytes", 6)], ids=["their number", "their size"])
async def test_of_many_servers_at_the_limit_of_volumes_those_that_fit_are_made(
    records: Records, volumes: Volumes, resource: str, limit: int
) -> None:
    limits = msgspec.structs.replace(PLENTY, **{resource: limit})

    results = await asyncio.gather(
        *(records.made(limits, name=f"s{number}", disks=(new(),)) for number in range(6)), return_exceptions=True
    )

    assert sum(isinstance(result, QuotaExceeded) for result in results) == 3
    assert len(await volumes.all("p1")) == 3
    assert (await records.quotas.standing("p1", "alice", PLENTY)).of_project.instances == 3


async def test_whether_a_volume_ends_with_its_server_can_be_changed(records: Records, volumes: Volumes) -> None:
    disk = new()
    server = await records.made(disks=(disk,))

    await volumes.end_with_server(disk.volume_id, server.id, NOW, ends=True)

    assert (await volumes.get(disk.volume_id)).delete_on_termination
    with pytest.raises(NotFound):
        await volumes.end_with_server(disk.volume_id, new_uuid(), NOW, ends=False)
