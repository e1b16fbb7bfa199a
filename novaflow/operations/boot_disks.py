"""The data disks of a boot: what is asked for, looked up and found good, before anything is written.

Texts are Nova's (nova/exception.py, InvalidBDM and what is made of it).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from novaflow.config import Config
from novaflow.data_disks import DataDisk, NewDisk, device_name, named
from novaflow.db.ids import new_uuid
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.errors import Invalid, NotFound
from novaflow.models import Context, Flavor
from novaflow.volumes import MOST_GB, Status

_INVALID: Final = "Block Device Mapping is Invalid: "


class BootDisks:
    """Looks at volumes and snapshots for those who boot servers. Other projects' are not there."""

    def __init__(self, volumes: Volumes, snapshots: VolumeSnapshots, config: Config) -> None:
        self._volumes = volumes
        self._snapshots = snapshots
        self._config = config

    async def check(
        self, context: Context, disks: Sequence[DataDisk], flavor: Flavor, *, servers: int, zone: str
    ) -> tuple[NewDisk, ...]:
        """The disks of each of so many servers, as `fresh` takes them. Raises Invalid."""
        if servers > 1 and any(disk.volume_id for disk in disks):
            raise Invalid(reason="Cannot attach one or more volumes to multiple instances")
        zone = zone or self._config.compute.availability_zone
        found = [await self._found(context, disk, zone) for disk in disks]
        given = [disk.volume_id for disk in found if not disk.is_new]
        if len(set(given)) < len(given):
            raise Invalid(reason=f"{_INVALID}a volume was specified twice")
        if len(hosts_of(found)) > 1:
            raise Invalid(reason=f"{_INVALID}its volumes are kept on several hosts: {', '.join(hosts_of(found))}")
        return named(found, flavor)

    async def _found(self, context: Context, disk: DataDisk, zone: str) -> NewDisk:
        device = device_name(disk.device)
        if disk.volume_id:
            return await self._existing(context, disk, device)
        host, least = None, 1
        if disk.snapshot_id:
            try:
                source = await self._snapshots.get(disk.snapshot_id, project_id=context.project_id)
            except NotFound as error:
                raise Invalid(reason=f"{_INVALID}failed to get snapshot {disk.snapshot_id}.") from error
            if source.status is not Status.AVAILABLE:
                raise Invalid(reason=f"{_INVALID}snapshot {source.id} is {source.status}, not available.")
            host, least = source.host, source.size_gb
        size = disk.size_gb or (least if disk.snapshot_id else 0)
        if not size:
            raise Invalid(
                reason=f"{_INVALID}Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size"
            )
        if not least <= size <= MOST_GB:
            raise Invalid(reason=f"{_INVALID}size {size} GB is not between {least} and {MOST_GB}")
        return NewDisk(
            volume_id="",
            is_new=True,
            device=device,
            size_gb=size,
            snapshot_id=disk.snapshot_id or None,
            availability_zone=zone,
            host=host,
            delete_on_termination=disk.delete_on_termination,
        )

    async def _existing(self, context: Context, disk: DataDisk, device: str) -> NewDisk:
        try:
            volume = await self._volumes.get(disk.volume_id, project_id=context.project_id)
        except NotFound as error:
            raise Invalid(reason=f"{_INVALID}failed to get volume {disk.volume_id}.") from error
        if volume.status is not Status.AVAILABLE:
            text = f"volume '{volume.id}' status must be 'available'. Currently in '{volume.status}' status."
            raise Invalid(reason=f"Invalid volume: {text}")
        return NewDisk(
            volume_id=volume.id,
            is_new=False,
            device=device,
            size_gb=volume.size_gb,
            host=volume.host,
            delete_on_termination=disk.delete_on_termination,
        )


def hosts_of(disks: Sequence[NewDisk]) -> list[str]:
    """Where the files of these disks are: a server that gets them can be nowhere else."""
    return sorted({disk.host for disk in disks if disk.host})


def fresh(disks: Sequence[NewDisk]) -> tuple[NewDisk, ...]:
    """The disks of one more server: its new volumes are its own."""
    return tuple(msgspec.structs.replace(disk, volume_id=new_uuid()) if disk.is_new else disk for disk in disks)
