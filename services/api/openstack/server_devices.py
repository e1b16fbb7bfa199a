"""Block devices of `POST /servers`: the image that a server boots from, and the volumes that it shall have from its first boot.

Texts are Nova's (nova/exception.py, nova/block_device.py). What would need disks that servers here do not have is refused: roots on
volumes, and ephemeral and swap disks other than the flavor's.
"""

from collections.abc import Mapping
from typing import Any, Final

from novaflow.data_disks import DataDisk
from novaflow.errors import Invalid

_INVALID: Final = "Block Device Mapping is Invalid: "
_ROOTS: Final = ("vda", "/dev/vda", "sda", "/dev/sda", "sda1", "/dev/sda1")
_NOT_THE_ROOT: Final = f"{_INVALID}only the server's own image at boot index 0, to a local disk, is its root disk here."
Device = Mapping[str, Any]


def disks_of(server: Mapping[str, Any], image_id: str) -> tuple[DataDisk, ...]:
    """The data disks that a checked body asks for; raises Invalid."""
    devices: list[Device] = [one for one in server.get("block_device_mapping_v2", ()) if not one.get("no_device")]
    legacy: list[Device] = [one for one in server.get("block_device_mapping", ()) if not one.get("no_device")]
    if devices and legacy:
        raise Invalid(reason="Using different block_device_mapping syntaxes is not allowed in the same request.")
    if legacy:
        return tuple(_of_legacy(device) for device in legacy)
    data = [device for device in devices if not _is_the_image(device, image_id)]
    if devices and len(data) != len(devices) - 1:
        raise Invalid(
            reason=f"{_INVALID}Boot sequence for the instance and image/block device mapping combination is not valid."
        )
    return tuple(_disk(device) for device in data)


def _is_the_image(device: Device, image_id: str) -> bool:
    return (
        device.get("source_type") == "image"
        and device.get("destination_type") == "local"
        and device.get("boot_index") == 0
        and device.get("uuid", device.get("image_id")) == image_id
    )


def _disk(device: Device) -> DataDisk:
    source = device.get("source_type")
    if source == "image" or device.get("boot_index") == 0:
        raise Invalid(reason=_NOT_THE_ROOT)
    if device.get("destination_type") != "volume":
        raise Invalid(reason=f"{_INVALID}ephemeral and swap disks are those of the flavor: a device is a volume.")
    if device.get("disk_bus", "virtio") != "virtio" or device.get("device_type", "disk") != "disk":
        raise Invalid(reason=f"{_INVALID}a volume is a virtio disk here.")
    if device.get("guest_format"):
        raise Invalid(reason=f"{_INVALID}a volume is formatted by its guest.")
    if device.get("tag"):
        raise Invalid(reason="Block device tags are not yet supported.")
    given: str = device.get("uuid") or device.get(f"{source}_id") or ""
    if source == "blank" and given:
        raise Invalid(reason=f"{_INVALID}Invalid device UUID.")
    if source != "blank" and not given:
        raise Invalid(reason=f"{_INVALID}Missing device UUID.")
    return _of(device, volume=given if source == "volume" else "", snapshot=given if source == "snapshot" else "")


def _of_legacy(device: Device) -> DataDisk:
    volume, snapshot = device.get("volume_id", ""), device.get("snapshot_id", "")
    if device.get("device_name") in _ROOTS:
        raise Invalid(reason=_NOT_THE_ROOT)
    if device.get("virtual_name") or bool(volume) == bool(snapshot):
        raise Invalid(reason=f"{_INVALID}a device is either a volume or made of a snapshot.")
    return _of(device, volume=volume, snapshot=snapshot)


def _of(device: Device, *, volume: str, snapshot: str) -> DataDisk:
    return DataDisk(
        volume_id=volume,
        snapshot_id=snapshot,
        size_gb=device.get("volume_size", 0),
        device=device.get("device_name", ""),
        delete_on_termination=device.get("delete_on_termination", False),
    )
