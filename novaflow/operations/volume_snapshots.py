"""Snapshots of volumes: what was on a volume at one moment, kept on the same host until it is deleted."""

from collections.abc import Mapping, Sequence

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.ids import new_uuid
from novaflow.db.volumes import VolumeSnapshots
from novaflow.messages import CREATE_VOLUME_SNAPSHOT, DELETE_VOLUME_SNAPSHOT
from novaflow.models import Context
from novaflow.operations.servers import visible_project
from novaflow.operations.volumes import send
from novaflow.volumes import Status, VolumeSnapshot
from rpc.bus import Bus


class VolumeSnapshotOperations:
    """What can be done with snapshots. Other projects' are NotFound."""

    def __init__(self, snapshots: VolumeSnapshots, bus: Bus, config: Config, clock: Clock) -> None:
        self._snapshots = snapshots
        self._bus = bus
        self._config = config
        self._clock = clock

    async def create(
        self,
        context: Context,
        volume_id: str,
        *,
        name: str = "",
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        may_be_in_use: bool = False,
    ) -> VolumeSnapshot:
        """A snapshot of a volume; of one that a server writes to, only when the caller says that it may be in use.

        Raises NotFound, Invalid, QuotaExceeded.
        """
        now = self._clock.now()
        wanted = VolumeSnapshot(
            id=new_uuid(),
            project_id=context.project_id,
            user_id=context.user_id,
            volume_id=volume_id,
            name=name,
            description=description,
            metadata=dict(metadata or {}),
            size_gb=0,  # the volume's
            status=Status.CREATING,
            order_id=new_uuid(),
            created_at=now,
            updated_at=now,
        )
        made = await self._snapshots.create(
            wanted, self._config.quota, project_id=visible_project(context), may_be_in_use=may_be_in_use
        )
        await send(self._bus, context, CREATE_VOLUME_SNAPSHOT, made)
        return made

    async def list(self, context: Context, *, all_projects: bool = False) -> Sequence[VolumeSnapshot]:
        """The project's snapshots, or everybody's for an administrator who asks for them, the oldest first."""
        return await self._snapshots.all(None if all_projects and context.is_admin else context.project_id)

    async def get(self, context: Context, snapshot_id: str) -> VolumeSnapshot:
        """One snapshot."""
        return await self._snapshots.get(snapshot_id, project_id=visible_project(context))

    async def delete(self, context: Context, snapshot_id: str) -> VolumeSnapshot:
        """Remove a snapshot; volumes made of it stay. Raises Invalid."""
        now, project_id = self._clock.now(), visible_project(context)
        deleted = await self._snapshots.delete(snapshot_id, new_uuid(), now, project_id=project_id)
        await send(self._bus, context, DELETE_VOLUME_SNAPSHOT, deleted)
        return deleted
