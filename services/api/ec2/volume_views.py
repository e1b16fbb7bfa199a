"""Volumes and their snapshots as EC2 shows them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from novaflow.db import ec2_ids
from novaflow.volumes import ATTACHED, Status, Volume, VolumeSnapshot
from services.api.ec2.errors import invalid_value
from services.api.ec2.frame import Call, Ec2Api
from services.api.ec2.ids import shown
from services.api.ec2.protocol import Params
from services.api.ec2.tag_rules import tags_of
from services.api.ec2.xml import Tree

TYPE: Final = "standard"
_ATTACHMENTS: Final = {
    Status.RESERVED: "attaching",
    Status.ATTACHING: "attaching",
    Status.IN_USE: "attached",
    Status.DETACHING: "detaching",
}
SNAPSHOT_STATES: Final = {
    Status.CREATING: "pending",
    Status.AVAILABLE: "completed",
    Status.DELETING: "pending",
    Status.ERROR: "error",
}
"""As nova/api/ec2/cloud.py has them."""


@dataclass(frozen=True, kw_only=True)
class ShownVolume:
    """A volume with the ids that it and its own have at this door."""

    volume: Volume
    number: int
    instance: str = ""
    snapshot: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """vol-0000002a."""
        return shown("vol", self.number)

    @property
    def state(self) -> str:
        """A volume that is on its way to an instance or from it is in use."""
        return str(Status.IN_USE if self.volume.status in ATTACHED else self.volume.status)

    @property
    def attachment_state(self) -> str:
        """Empty for a volume that no instance has."""
        return _ATTACHMENTS.get(self.volume.status, "")


@dataclass(frozen=True)
class AttachedVolume:
    """A volume of an instance, with the id that it has at this door."""

    volume: Volume
    id: str

    @property
    def device(self) -> str:
        """/dev/vdf."""
        return f"/dev/{self.volume.device}"

    @property
    def state(self) -> str:
        """attaching, attached or detaching."""
        return _ATTACHMENTS[self.volume.status]

    @property
    def view(self) -> Tree:
        """As it is shown with its instance."""
        ebs = {
            "volumeId": self.id,
            "status": self.state,
            "attachTime": self.volume.attached_at,
            "deleteOnTermination": self.volume.delete_on_termination,
        }
        return {"deviceName": self.device, "ebs": ebs}


@dataclass(frozen=True, kw_only=True)
class ShownSnapshot:
    """A snapshot with the ids that it and its volume have at this door."""

    snapshot: VolumeSnapshot
    number: int
    volume: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """snap-0000002a."""
        return shown("snap", self.number)

    @property
    def state(self) -> str:
        """pending, completed or error."""
        return SNAPSHOT_STATES[self.snapshot.status]

    @property
    def progress(self) -> str:
        """All of it or nothing: nobody counts."""
        return "100%" if self.snapshot.status is Status.AVAILABLE else "0%"


async def show_volumes(api: Ec2Api, call: Call, volumes: Iterable[Volume]) -> list[ShownVolume]:
    """These volumes as they are known at this door."""
    found = list(volumes)
    numbers = await api.ids.numbers(ec2_ids.VOLUME, [one.id for one in found])
    instances = await api.ids.numbers(ec2_ids.INSTANCE, [one.server_id for one in found if one.server_id])
    snapshots = await api.ids.numbers(ec2_ids.SNAPSHOT, [one.snapshot_id for one in found if one.snapshot_id])
    tags = await api.tags.of_project(call.context.project_id)
    return [
        ShownVolume(
            volume=one,
            number=numbers[one.id],
            instance=shown("i", instances[one.server_id]) if one.server_id else "",
            snapshot=shown("snap", snapshots[one.snapshot_id]) if one.snapshot_id else "",
            tags=tags.get(shown("vol", numbers[one.id]), {}),
        )
        for one in found
    ]


async def show_snapshots(api: Ec2Api, call: Call, snapshots: Iterable[VolumeSnapshot]) -> list[ShownSnapshot]:
    """These snapshots as they are known at this door."""
    found = list(snapshots)
    numbers = await api.ids.numbers(ec2_ids.SNAPSHOT, [one.id for one in found])
    volumes = await api.ids.numbers(ec2_ids.VOLUME, [one.volume_id for one in found])
    tags = await api.tags.of_project(call.context.project_id)
    return [
        ShownSnapshot(
            snapshot=one,
            number=numbers[one.id],
            volume=shown("vol", volumes[one.volume_id]),
            tags=tags.get(shown("snap", numbers[one.id]), {}),
        )
        for one in found
    ]


async def block_devices(api: Ec2Api, server_ids: Collection[str]) -> dict[str, tuple[AttachedVolume, ...]]:
    """By server the volumes that it has."""
    attached = await api.volumes.of_servers(server_ids)
    volumes = [volume for some in attached.values() for volume in some]
    numbers = await api.ids.numbers(ec2_ids.VOLUME, [volume.id for volume in volumes])
    return {
        server_id: tuple(AttachedVolume(volume, shown("vol", numbers[volume.id])) for volume in some)
        for server_id, some in attached.items()
    }


def volume_view(one: ShownVolume) -> Mapping[str, Tree]:
    """A volume in DescribeVolumes, and the answer to CreateVolume."""
    return {
        "volumeId": one.id,
        "size": one.volume.size_gb,
        "snapshotId": one.snapshot,
        "availabilityZone": one.volume.availability_zone,
        "status": one.state,
        "createTime": one.volume.created_at,
        "attachmentSet": [attachment_view(one)] if one.attachment_state else [],
        "volumeType": TYPE,
        "encrypted": False,
        "multiAttachEnabled": False,
        "tagSet": _tags(one.tags),
    }


def attachment_view(one: ShownVolume) -> Mapping[str, Tree]:
    """Which instance has a volume; the answer to AttachVolume and DetachVolume."""
    return {
        "volumeId": one.id,
        "instanceId": one.instance,
        "device": f"/dev/{one.volume.device}",
        "status": one.attachment_state,
        "attachTime": one.volume.attached_at,
        "deleteOnTermination": one.volume.delete_on_termination,
    }


def snapshot_view(one: ShownSnapshot) -> Mapping[str, Tree]:
    """A snapshot in DescribeSnapshots, and the answer to CreateSnapshot."""
    return {
        "snapshotId": one.id,
        "volumeId": one.volume,
        "status": one.state,
        "startTime": one.snapshot.created_at,
        "progress": one.progress,
        "ownerId": one.snapshot.project_id,
        "volumeSize": one.snapshot.size_gb,
        "description": one.snapshot.description,
        "encrypted": False,
        "tagSet": _tags(one.tags),
    }


def tags_asked(params: Params, kind: str) -> dict[str, str]:
    """The tags that something is to be made with; raises InvalidParameterValue for tags of anything else."""
    found: dict[str, str] = {}
    for part in params.all_parts("TagSpecification"):
        part.only(("ResourceType", "Tag"))
        if part.text("ResourceType") != kind:
            raise invalid_value("TagSpecification.ResourceType", f"Only a {kind} is tagged when it is made.")
        found |= tags_of(part)
    return found


def _tags(tags: Mapping[str, str]) -> Sequence[Mapping[str, Tree]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]
