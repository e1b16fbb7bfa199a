"""The data disks that a server shall have from its first boot: what is asked for, and by which names a guest has them. Pure."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from novaflow.errors import Invalid
from novaflow.models import Flavor, Value

_DEVICE: Final = re.compile(r"(?:/dev/)?(?:vd|xvd|sd|hd)([a-z])")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


class DataDisk(Value, frozen=True, kw_only=True):
    """A disk as it is asked for: a volume that exists, or a new one, of a snapshot or empty.

    `size_gb` 0 is the snapshot's. `device` is /dev/sdf or vdf, or empty where the cloud may choose.
    """

    volume_id: str = ""
    snapshot_id: str = ""
    size_gb: int = 0
    device: str = ""
    delete_on_termination: bool = False


class NewDisk(Value, frozen=True, kw_only=True):
    """The same, decided: `volume_id` is that of the volume, which is made with the server if it `is_new`. `device` is a name (vdf)."""

    volume_id: str
    is_new: bool
    device: str
    size_gb: int
    snapshot_id: str | None = None
    availability_zone: str = ""  # of a new one
    host: str | None = None  # where the volume's file is, or will be; None: wherever the server goes
    delete_on_termination: bool = False


def device_name(said: str | None) -> str:
    """The name that a guest of ours can have: /dev/sdh is vdh. Empty where the cloud may choose; raises Invalid."""
    if not said:
        return ""
    found = _DEVICE.fullmatch(said)
    if found is None or found[1] == "a":
        raise Invalid(reason=f"The supplied device path ({said[:64]}) is invalid.")
    return f"vd{found[1]}"


def own_disks(flavor: Flavor) -> int:
    """How many disks a server has besides its volumes: root, ephemeral, swap, config drive."""
    return 2 + bool(flavor.ephemeral_gb) + bool(flavor.swap_mb)


def named(disks: Sequence[NewDisk], flavor: Flavor) -> tuple[NewDisk, ...]:
    """The disks with names that a server of this flavor does not have yet: those that were wanted, where they are free.

    Raises Invalid for a name that is wanted twice, and for more disks than there are letters.
    """
    wanted = [disk.device for disk in disks if disk.device]
    if doubled := next((name for name in wanted if wanted.count(name) > 1), None):
        raise Invalid(reason=f"The supplied device path (/dev/{doubled}) is in use.")
    free = [f"vd{letter}" for letter in _LETTERS[own_disks(flavor) :]]
    kept = [name for name in wanted if name in free]
    rest = [name for name in free if name not in kept]
    if len(disks) > len(free):
        raise Invalid(reason=f"A server of flavor {flavor.name} has no room for {len(disks)} more disks.")
    return tuple(disk if disk.device in kept else msgspec.structs.replace(disk, device=rest.pop(0)) for disk in disks)
