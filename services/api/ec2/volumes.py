"""CreateVolume, DeleteVolume, AttachVolume, DetachVolume, DescribeVolumes.

Sources: Amazon EC2 API Reference, nova/api/ec2/cloud.py.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from novaflow.errors import Conflict, Invalid, NotFound
from novaflow.volumes import ATTACHED, MOST_GB, Status
from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import VOLUME, as_shown, resolve
from services.api.ec2.instance_lookup import one_alive as instance_named
from services.api.ec2.paging import paged
from services.api.ec2.snapshots import one_named as snapshot_named
from services.api.ec2.tag_rules import MAX_TAGS
from services.api.ec2.volume_views import (
    TYPE,
    ShownVolume,
    attachment_view,
    show_volumes,
    tags_asked,
    volume_view,
)
from services.api.ec2.xml import moment

_MAX_TOKEN: Final = 64
_TOKENS: Final = uuid.UUID("6a3c1b6e-0b5d-4c52-9d5e-0f6a4b8f3a11")
"""A volume that is made with a client token has its id from it."""


async def create_volume(api: Ec2Api, call: Call) -> Answer:
    """An empty volume, or one of a snapshot. The same client token makes one volume, however often it comes."""
    params = call.params
    zone = await _zone(api, params.text("AvailabilityZone"))
    if params.flag("Encrypted"):
        raise Ec2Error("UnsupportedOperation", "Volumes are not encrypted here.")
    if params.text("VolumeType", TYPE) != TYPE:
        raise Ec2Error("UnknownVolumeType", f"The volume type is unknown: volumes here are of the type {TYPE}.")
    given = params.text("SnapshotId", "")
    source = await snapshot_named(api, call, given) if given else None
    tags = tags_asked(params, "volume")
    size = params.number("Size", source.snapshot.size_gb if source else None, least=1, most=MOST_GB)
    snapshot_id, volume_id = source.snapshot.id if source else None, _id(call)
    made = await api.volumes.create(
        call.context, volume_id=volume_id, size_gb=size, snapshot_id=snapshot_id, availability_zone=zone
    )
    if (made.size_gb, made.snapshot_id, made.availability_zone) != (size, snapshot_id, zone):
        said = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
        raise Ec2Error("IdempotentParameterMismatch", said)
    if tags and made.status is not Status.DELETED:
        (one,) = await show_volumes(api, call, [made])
        await api.tags.set(call.context.project_id, [one.id], tags, MAX_TAGS)
    (one,) = await show_volumes(api, call, [made])
    return volume_view(one)


async def delete_volume(api: Ec2Api, call: Call) -> Answer:
    """Remove a volume; raises VolumeInUse when an instance has it."""
    one = await _named(api, call)
    try:
        await api.volumes.delete(call.context, one.volume.id)
    except Invalid as error:
        raise _in_the_way(one, error) from error
    await api.tags.remove(call.context.project_id, [one.id], None)
    return {"return": True}


async def attach_volume(api: Ec2Api, call: Call) -> Answer:
    """Give an instance a volume; /dev/sdf is vdf in the guest. Raises VolumeInUse, IncorrectState, IncorrectInstanceState."""
    one = await _named(api, call)
    instance = await instance_named(api, call, call.params.text("InstanceId"))
    device = call.params.text("Device", "")
    if one.volume.status in ATTACHED:
        raise Ec2Error("VolumeInUse", f"{one.id} is already attached to an instance")
    try:
        attached = await api.volumes.attach(call.context, instance.server.id, one.volume.id, device)
    except (Invalid, Conflict) as error:
        if "device path" in str(error):
            raise invalid_value("device", str(error)) from error
        raise _in_the_way(one, error) from error
    return attachment_view((await show_volumes(api, call, [attached]))[0])


async def detach_volume(api: Ec2Api, call: Call) -> Answer:
    """Take a volume from the instance that has it; raises IncorrectState when none has, InvalidAttachment.NotFound when it is another."""
    one = await _named(api, call)
    given = call.params.text("InstanceId", one.instance)
    call.params.flag("Force")
    call.params.text("Device", "")
    if not one.volume.server_id:
        raise Ec2Error("IncorrectState", f"Volume '{one.id}' is in the '{one.state}' state.")
    if as_shown(given) != one.instance:
        raise Ec2Error(
            "InvalidAttachment.NotFound", f"The volume '{one.id}' is not attached to instance '{given[:64]}'."
        )
    try:
        detaching = await api.volumes.detach(call.context, one.volume.server_id, one.volume.id)
    except (Invalid, NotFound) as error:
        raise Ec2Error("IncorrectState", str(error)) from error
    return attachment_view((await show_volumes(api, call, [detaching]))[0])


async def describe_volumes(api: Ec2Api, call: Call) -> Answer:
    """The project's volumes, or those named."""
    given = call.params.texts("VolumeId")
    found = await some_named(api, call, given) if given else await _all(api, call)
    fitting = filtered(found, call.params, _FIELDS, lambda one: one.tags)
    page, token = paged(fitting, lambda one: one.number, call.params)
    return {"volumeSet": [volume_view(one) for one in page], "nextToken": token}


async def _all(api: Ec2Api, call: Call) -> list[ShownVolume]:
    return await show_volumes(api, call, await api.volumes.list(call.context))


async def some_named(api: Ec2Api, call: Call, given: Sequence[str]) -> list[ShownVolume]:
    """The project's volumes by these ids, each once; raises InvalidVolumeID.Malformed, InvalidVolume.NotFound."""
    resources = await resolve(api.ids, VOLUME, given)
    mine = {volume.id: volume for volume in await api.volumes.list(call.context)}
    if missing := [one for one in given if resources[one] not in mine]:
        raise VOLUME.missing(missing)
    return await show_volumes(api, call, [mine[one] for one in dict.fromkeys(resources.values())])


async def _named(api: Ec2Api, call: Call) -> ShownVolume:
    return (await some_named(api, call, [call.params.text("VolumeId")]))[0]


async def _zone(api: Ec2Api, name: str) -> str:
    if name not in {zone.name for zone in await api.services.zones()}:
        raise Ec2Error("InvalidZone.NotFound", f"The zone '{name[:64]}' does not exist.")
    return name


def _id(call: Call) -> str | None:
    token = call.params.text("ClientToken", "")
    if len(token) > _MAX_TOKEN or not token.isascii():
        raise Ec2Error("InvalidClientToken", f"A client token has at most {_MAX_TOKEN} ASCII characters.")
    return str(uuid.uuid5(_TOKENS, f"{call.context.project_id}/{token}")) if token else None


def _in_the_way(one: ShownVolume, error: Invalid | Conflict) -> Ec2Error:
    return Ec2Error("VolumeInUse" if one.volume.status in ATTACHED else "IncorrectState", str(error))


_FIELDS: Final[Mapping[str, Field[ShownVolume]]] = {
    "volume-id": lambda one: [one.id],
    "status": lambda one: [one.state],
    "size": lambda one: [str(one.volume.size_gb)],
    "snapshot-id": lambda one: [one.snapshot] if one.snapshot else [],
    "availability-zone": lambda one: [one.volume.availability_zone],
    "create-time": lambda one: [moment(one.volume.created_at)],
    "volume-type": lambda _: [TYPE],
    "encrypted": lambda _: ["false"],
    "attachment.instance-id": lambda one: [one.instance] if one.attachment_state else [],
    "attachment.status": lambda one: [one.attachment_state] if one.attachment_state else [],
    "attachment.device": lambda one: [f"/dev/{one.volume.device}"] if one.attachment_state else [],
    "attachment.delete-on-termination": lambda one: (
        [str(one.volume.delete_on_termination).lower()] if one.attachment_state else []
    ),
}

ACTIONS: Final = (
    Action(
        "CreateVolume",
        create_volume,
        takes=(
            "AvailabilityZone",
            "ClientToken",
            "Encrypted",
            "Size",
            "SnapshotId",
            "TagSpecification",
            "VolumeType",
        ),
    ),
    Action("DeleteVolume", delete_volume, takes=("VolumeId",)),
    Action("AttachVolume", attach_volume, takes=("VolumeId", "InstanceId", "Device")),
    Action("DetachVolume", detach_volume, takes=("VolumeId", "InstanceId", "Device", "Force")),
    Action("DescribeVolumes", describe_volumes, takes=("VolumeId", "Filter", "MaxResults", "NextToken")),
)
