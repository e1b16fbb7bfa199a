"""BlockDeviceMapping.N: the volumes that an instance shall have from its first boot, and whether they end with it.

The root disk is of the flavor's size and ends with its instance; a mapping of it may say so, and nothing else. Source: Amazon EC2 API
Reference (BlockDeviceMapping, EbsBlockDevice; InvalidBlockDeviceMapping).
"""

from typing import Final

from novaflow.data_disks import DataDisk, device_name
from novaflow.errors import Invalid
from novaflow.models import Flavor
from novaflow.volumes import MOST_GB
from services.api.ec2.errors import Ec2Error, missing_parameter
from services.api.ec2.frame import Call, Ec2Api
from services.api.ec2.instance_views import ROOT_DEVICE, Instance
from services.api.ec2.protocol import Params
from services.api.ec2.snapshots import one_named as snapshot_named
from services.api.ec2.volume_views import TYPE

NAME: Final = "BlockDeviceMapping"
_MOST: Final = 26  # as many as there are letters for disks
_PARTS: Final = ("DeviceName", "VirtualName", "NoDevice", "Ebs")
_EBS: Final = ("SnapshotId", "VolumeSize", "DeleteOnTermination", "VolumeType", "Encrypted")
_ROOTS: Final = (ROOT_DEVICE, "/dev/sda1", "/dev/sda", "/dev/xvda")


async def data_disks(api: Ec2Api, call: Call, flavor: Flavor) -> tuple[DataDisk, ...]:
    """The data disks that RunInstances asks for; raises InvalidBlockDeviceMapping, InvalidSnapshot.NotFound, UnsupportedOperation."""
    found = []
    for given in call.params.all_parts(NAME, most=_MOST):
        given.only(_PARTS)
        device = given.text("DeviceName")
        if "NoDevice" in given:
            continue  # no image here maps a device that could be left out
        if given.text("VirtualName", ""):
            raise Ec2Error("UnsupportedOperation", "Ephemeral and swap disks are those of the instance type.")
        ebs = given.parts("Ebs")
        ebs.only(_EBS)
        _check_kind(ebs)
        if device in _ROOTS:
            _check_root(ebs, flavor)
        else:
            found.append(await _disk(api, call, device, ebs))
    return tuple(found)


async def change(api: Ec2Api, call: Call, instance: Instance) -> None:
    """Say which volumes end with the instance; raises InvalidInstanceAttributeValue for a device that it does not have."""
    volumes = {one.device: one.id for one in await api.volumes.of_server(call.context, instance.server.id)}
    wanted = {}
    for given in call.params.all_parts(NAME):
        given.only(("DeviceName", "Ebs"))
        ebs = given.parts("Ebs")
        ebs.only(("DeleteOnTermination", "VolumeId"))
        device, ends = given.text("DeviceName"), ebs.flag("DeleteOnTermination", default=True)
        if device in _ROOTS:
            _refuse_lasting_root(ends=ends)
            continue
        name = _known(device)
        if name not in volumes:
            said = f"No device is currently mapped at {device[:64]}"
            raise Ec2Error("InvalidInstanceAttributeValue", said)
        wanted[volumes[name]] = ends
    for volume_id, ends in wanted.items():
        await api.volumes.end_with_server(call.context, instance.server.id, volume_id, ends=ends)


def _check_kind(ebs: Params) -> None:
    if ebs.flag("Encrypted"):
        raise Ec2Error("UnsupportedOperation", "Volumes are not encrypted here.")
    if ebs.text("VolumeType", TYPE) != TYPE:
        raise Ec2Error("UnknownVolumeType", f"The volume type is unknown: volumes here are of the type {TYPE}.")


async def _disk(api: Ec2Api, call: Call, device: str, ebs: Params) -> DataDisk:
    given = ebs.text("SnapshotId", "")
    source = await snapshot_named(api, call, given) if given else None
    if source is None and "VolumeSize" not in ebs:
        raise missing_parameter("size or snapshotId")
    size = ebs.number("VolumeSize", 0, least=0, most=MOST_GB)
    if source is not None and 0 < size < source.snapshot.size_gb:
        least = source.snapshot.size_gb
        raise _invalid(f"Volume of size {size}GB is smaller than snapshot '{source.id}', expect size >= {least}GB")
    return DataDisk(
        snapshot_id=source.snapshot.id if source else "",
        size_gb=size,
        device=_known(device),
        delete_on_termination=ebs.flag("DeleteOnTermination", default=True),
    )


def _check_root(ebs: Params, flavor: Flavor) -> None:
    _refuse_lasting_root(ends=ebs.flag("DeleteOnTermination", default=True))
    if "SnapshotId" in ebs:
        raise Ec2Error("UnsupportedOperation", "Instances boot from their image here, not from a volume.")
    if ebs.number("VolumeSize", flavor.disk_gb) != flavor.disk_gb:
        raise _invalid(f"The root device of type {flavor.name} has {flavor.disk_gb}GB")


def _refuse_lasting_root(*, ends: bool) -> None:
    if not ends:
        raise Ec2Error("UnsupportedOperation", "The root device of an instance ends with it.")


def _known(device: str) -> str:
    try:
        return device_name(device)
    except Invalid:
        raise _invalid(f"Invalid device name {device[:64]}") from None


def _invalid(why: str) -> Ec2Error:
    return Ec2Error("InvalidBlockDeviceMapping", why)
