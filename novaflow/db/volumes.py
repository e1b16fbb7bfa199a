"""The volumes of the cloud and whose disks they are.

A volume and the server that gets it are looked at together, the server's row being locked first: so no server moves away with a volume
that it has just got, and none gets one that is about to move.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, case, func, insert, literal, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.data_disks import own_disks
from novaflow.db import standing, volume_copies, volume_usage
from novaflow.db.database import Database
from novaflow.db.ids import new_uuid
from novaflow.db.schema.compute import servers
from novaflow.db.schema.volumes import volume_snapshots, volumes
from novaflow.db.standing import Standing
from novaflow.db.storage import Storage
from novaflow.errors import Conflict, Invalid, NotFound, WrongState
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import Task
from novaflow.volumes import ATTACHED, COPYABLE, DELETABLE, READY, Status, Volume, VolumeSnapshot

VOLUME: Final = "Volume"
SNAPSHOT: Final = "Snapshot"
_ADD: Final = insert(volumes)
_ADD_SNAPSHOT: Final = insert(volume_snapshots)
_FREE: Final = {"server_id": None, "device": "", "attached_at": None, "delete_on_termination": False}
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)  # whoever looks for orders that did not end sends these at once
_OF_SERVER: Final = (volumes.c.server_id == bindparam("b_server"), volumes.c.status.in_(ATTACHED))
_DEVICES: Final = select(volumes.c.device).where(*_OF_SERVER)
_COUNT: Final = select(func.count()).select_from(volumes).where(*_OF_SERVER)
_DOOMED: Final = volumes.c.delete_on_termination == true()
_NOWHERE: Final = _DOOMED & volumes.c.host.is_(None)
_RELEASE: Final = (
    update(volumes)
    .where(*_OF_SERVER)
    .values(
        status=case(
            (_NOWHERE, literal(Status.DELETED, volumes.c.status.type)),
            (_DOOMED, literal(Status.DELETING, volumes.c.status.type)),
            else_=literal(Status.AVAILABLE, volumes.c.status.type),
        ),
        is_deleted=case((_NOWHERE, True), else_=False),
        server_id=None,
        device="",
        attached_at=None,
        updated_at=bindparam("b_now"),
        order_id=bindparam("b_order"),
        ordered_at=bindparam("b_long_ago"),
        orders=0,
    )
)
_DOOM: Final = (
    update(volumes)
    .where(volumes.c.id == bindparam("b_id"), *_OF_SERVER)
    .values(delete_on_termination=bindparam("b_doomed"), updated_at=bindparam("b_now"))
)
_READY: Final = select(servers.c.id).where(
    servers.c.host == bindparam("b_host"), servers.c.vm.in_(READY), servers.c.task == Task.IDLE
)


class Volumes(Storage[Volume]):
    """All volumes."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, volumes, Volume, VOLUME)

    async def create(self, volume: Volume, defaults: QuotaLimits) -> Volume:
        """Record a volume of a user; gives the one that is recorded by its id already, whatever became of it. Raises QuotaExceeded."""
        ask = Usage(volumes=1, gigabytes=volume.size_gb)

        async def work(connection: AsyncConnection) -> Volume:
            await volume_usage.add(connection, _ADD, self.row(volume), ask, defaults)
            made = await self.find(connection, volume.id, lock=True) or volume
            if made.snapshot_id and made.status is Status.CREATING:
                await volume_copies.hold_source(connection, made.snapshot_id)
            return made

        return await self.db.write(work)

    async def attach(
        self, volume_id: str, server_id: str, order_id: str, now: datetime, *, project_id: str | None, device: str
    ) -> Volume:
        """Give a server the volume, which is its host's from now on. `device` is a name (vdb), or empty for a free one.

        Raises NotFound, WrongState for the server's state, Conflict when its host is another than the volume's or the device is in use,
        Invalid when the volume is not available.
        """

        async def work(connection: AsyncConnection) -> Volume:
            server = await _ready(connection, server_id, "attach_volume")
            volume = await self.held(connection, volume_id, project_id)
            if volume.order_id != order_id:
                _refuse_attaching(volume, server)
                name = await _device(connection, server_id, device)
                changes = {"server_id": server_id, "host": server.host, "device": name, "attached_at": now}
                await self.begin(connection, volume_id, Status.ATTACHING, order_id, now, **changes)
            return await self._now(connection, volume_id)

        return await self.db.write(work)

    async def detach(
        self, volume_id: str, server_id: str, order_id: str, now: datetime, *, project_id: str | None
    ) -> Volume:
        """Take the volume from the server. Raises NotFound, WrongState, Invalid when it is not the server's or on its way already."""

        async def work(connection: AsyncConnection) -> Volume:
            await _ready(connection, server_id, "detach_volume")
            volume = await self.held(connection, volume_id, project_id)
            if volume.order_id != order_id:
                _refuse_detaching(volume, server_id)
                await self.begin(connection, volume_id, Status.DETACHING, order_id, now)
            return await self._now(connection, volume_id)

        return await self.db.write(work)

    async def delete(self, volume_id: str, order_id: str, now: datetime, *, project_id: str | None) -> Volume:
        """Remove the volume, at once when it is on no host. Raises NotFound, Invalid when something is going on with it."""

        async def work(connection: AsyncConnection) -> Volume:
            found = await self.find(connection, volume_id, lock=True)
            if found is None or found.order_id != order_id:
                volume = await self.held(connection, volume_id, project_id)
                refuse_status(VOLUME, volume, DELETABLE)
                await volume_copies.refuse_losing_volume(connection, volume_id)
                after = Status.DELETING if volume.host else Status.DELETED
                await self.begin(connection, volume_id, after, order_id, now)
            return await self._now(connection, volume_id)

        return await self.db.write(work)

    async def end_with_server(self, volume_id: str, server_id: str, now: datetime, *, ends: bool) -> None:
        """Say whether a volume is deleted with the server that has it. Raises NotFound when that has not got it."""
        values = {"b_id": volume_id, "b_server": server_id, "b_doomed": ends, "b_now": now}

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_DOOM, values)).rowcount == 0:
                raise NotFound(kind="volume attachment", key=volume_id)

        await self.db.write(work)

    async def of_servers(self, server_ids: Collection[str]) -> dict[str, list[Volume]]:
        """The volumes of each of these servers that has any."""
        found: dict[str, list[Volume]] = {}
        for volume in await self.some(volumes.c.server_id.in_(server_ids), volumes.c.status.in_(ATTACHED)):
            found.setdefault(volume.server_id or "", []).append(volume)
        return found

    async def ready_servers(self, host: str) -> list[str]:
        """Those of a host whose volumes may be set right: nobody works on them, and their own system is in them."""

        async def work(connection: AsyncConnection) -> list[str]:
            return list((await connection.execute(_READY, {"b_host": host})).scalars())

        return await self.db.read(work)

    def _may_be_sent(self) -> ColumnElement[bool]:
        """One that ends with its server is deleted when the snapshots are made that it still had to give."""
        is_free: ColumnElement[bool] = (volumes.c.status != Status.DELETING) | ~volume_copies.BEING_COPIED
        return is_free

    async def _now(self, connection: AsyncConnection, volume_id: str) -> Volume:
        found = await self.find(connection, volume_id)
        if found is None:
            raise NotFound(kind=VOLUME, key=volume_id)
        return found

    def _changes(self, after: Status, now: datetime, device: str) -> dict[str, Any]:
        if after not in ATTACHED:
            return dict(_FREE)
        return {"device": device, "attached_at": now} if device else {}


class VolumeSnapshots(Storage[VolumeSnapshot]):
    """All snapshots of volumes."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, volume_snapshots, VolumeSnapshot, SNAPSHOT)
        self._volumes = Volumes(db)

    async def create(
        self, snapshot: VolumeSnapshot, defaults: QuotaLimits, *, project_id: str | None, may_be_in_use: bool
    ) -> VolumeSnapshot:
        """Record a snapshot of the volume as it is now: its size and its host are the volume's.

        One of an empty volume on no host is there at once. Raises NotFound, Invalid for a volume that cannot be copied now, QuotaExceeded.
        """
        allowed = COPYABLE if may_be_in_use else frozenset({Status.AVAILABLE})

        async def work(connection: AsyncConnection) -> VolumeSnapshot:
            volume = await self._volumes.held(connection, snapshot.volume_id, project_id)
            if await self.find(connection, snapshot.id) is None:
                refuse_status(VOLUME, volume, allowed)
                status = Status.CREATING if volume.host else Status.AVAILABLE
                row = {**self.row(snapshot), "size_gb": volume.size_gb, "host": volume.host, "status": status}
                ask = Usage(snapshots=1, gigabytes=volume.size_gb)
                await volume_usage.add(connection, _ADD_SNAPSHOT, row, ask, defaults)
            return await self.held(connection, snapshot.id, None)

        return await self.db.write(work)

    async def delete(self, snapshot_id: str, order_id: str, now: datetime, *, project_id: str | None) -> VolumeSnapshot:
        """Remove the snapshot; volumes made of it stay. Raises NotFound, Invalid when something is going on with it."""

        async def work(connection: AsyncConnection) -> VolumeSnapshot:
            found = await self.find(connection, snapshot_id, lock=True)
            if found is None or found.order_id != order_id:
                found = await self.held(connection, snapshot_id, project_id)
                refuse_status(SNAPSHOT, found, DELETABLE)
                await volume_copies.refuse_losing_snapshot(connection, snapshot_id)
                after = Status.DELETING if found.host else Status.DELETED
                await self.begin(connection, snapshot_id, after, order_id, now)
            return await self.find(connection, snapshot_id) or found

        return await self.db.write(work)

    async def is_blank(self, snapshot_id: str) -> bool:
        """Whether it is of a volume that nobody had written to: no host has a file of it."""
        found = await self.db.read(lambda connection: self.find(connection, snapshot_id))
        return found is not None and found.host is None


async def release(connection: AsyncConnection, server_id: str, now: datetime) -> None:
    """A server that is no more has no disks: its volumes are nobody's, and whoever still works on one hears of it.

    Those that end with it are deleted, by an order that is sent when orders are looked for.
    """
    values = {"b_server": server_id, "b_now": now, "b_order": new_uuid(), "b_long_ago": _LONG_AGO}
    await connection.execute(_RELEASE, values)


async def refuse_move(connection: AsyncConnection, server_id: str) -> None:
    """Raises Conflict for a server, its row locked, that has a volume: that is a file of its host."""
    if await connection.scalar(_COUNT, {"b_server": server_id}):
        reason = f"Instance {server_id} has volumes, which cannot leave its host: detach them first."
        raise Conflict(reason=reason)


def refuse_status(kind: str, thing: Volume | VolumeSnapshot, allowed: frozenset[Status]) -> None:
    """Raises Invalid, as Cinder says it."""
    if thing.status not in allowed:
        statuses = " or ".join(sorted(allowed))
        raise Invalid(reason=f"Invalid {kind.lower()}: {kind} status must be {statuses}, but is {thing.status}.")


async def _ready(connection: AsyncConnection, server_id: str, action: str) -> Standing:
    server = await standing.lock(connection, server_id)
    if server is None or server.is_deleted:
        raise NotFound(kind="Instance", key=server_id)
    if server.state.vm not in READY:
        raise WrongState(action=action, server_id=server_id, attribute="vm_state", state=server.state.vm)
    if server.state.task is not Task.IDLE:
        raise WrongState(action=action, server_id=server_id, attribute="task_state", state=server.state.task)
    if server.host is None:
        raise Conflict(reason=f"Instance {server_id} is not ready")
    return server


def _refuse_attaching(volume: Volume, server: Standing) -> None:
    if volume.status is not Status.AVAILABLE:
        text = f"volume '{volume.id}' status must be 'available'. Currently in '{volume.status}' status."
        raise Invalid(reason=f"Invalid volume: {text}")
    if volume.host not in (None, server.host):
        text = f"volume {volume.id} is kept on host {volume.host}, and instance {server.server_id} is on {server.host}"
        raise Conflict(reason=f"Invalid volume: {text}.")


def _refuse_detaching(volume: Volume, server_id: str) -> None:
    if volume.server_id != server_id:
        raise NotFound(kind="volume attachment", key=volume.id)
    if volume.status is not Status.IN_USE:
        text = f"Unable to detach volume. Volume status must be 'in-use', but is '{volume.status}'."
        raise Invalid(reason=f"Invalid volume: {text}")


async def _device(connection: AsyncConnection, server_id: str, wanted: str) -> str:
    """The name of a disk that no other volume of the server has, after the server's own disks."""
    taken = set((await connection.execute(_DEVICES, {"b_server": server_id})).scalars())
    if wanted in taken:
        raise Conflict(reason=f"The supplied device path (/dev/{wanted}) is in use.")
    if wanted:
        return wanted
    # Its host knows better where the server has other disks, and has the last word.
    flavor = (await connection.execute(select(servers.c.flavor).where(servers.c.id == server_id))).scalar_one()
    own = own_disks(flavor)
    free = [f"vd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[own:] if f"vd{letter}" not in taken]
    if not free:
        raise Conflict(reason=f"Instance {server_id} has no room for another disk.")
    return free[0]
