"""From what is asked for, and what was found of it, to servers that can be recorded."""

import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from novaflow.data_disks import DataDisk, NewDisk
from novaflow.db.creation import NewServer
from novaflow.errors import Invalid
from novaflow.models import ClientToken, Flavor, Hints, ImageFacts, InjectedFile, Value
from novaflow.operations.boot_disks import fresh, hosts_of
from novaflow.operations.boot_rules import boot_files, host_name, numbered

_RESERVATION_LETTERS: Final = string.ascii_lowercase + string.digits


class BootRequest(Value, frozen=True, kw_only=True):
    """What a client asks for: between `min_count` and `max_count` servers that differ in nothing but their numbers."""

    name: str  # empty: `Server` and the server's id
    flavor_id: str
    image_id: str
    admin_password: str
    min_count: int = 1
    max_count: int = 1
    description: str | None = None
    key_name: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    user_data: str = ""  # base64
    files: tuple[InjectedFile, ...] = ()
    has_config_drive: bool = False
    availability_zone: str = ""  # empty: any
    force_host: str = ""
    hints: Hints = msgspec.field(default_factory=dict)
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: str = "MANUAL"
    tags: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()  # their names; none: the default one
    disks: tuple[DataDisk, ...] = ()
    kernel_id: str = ""  # instead of the image's own
    ramdisk_id: str = ""
    once: ClientToken | None = None

    @property
    def group_id(self) -> str:
        """The server group that the servers join; empty: none."""
        group = self.hints.get("group", "")
        return group if isinstance(group, str) else ""

    def __repr__(self) -> str:
        return f"BootRequest(name={self.name!r}, flavor_id={self.flavor_id!r}, image_id={self.image_id!r})"


@dataclass(frozen=True)
class Checked:
    """What the checks read, and found good."""

    flavor: Flavor
    image: ImageFacts
    public_key: str
    availability_zone: str
    disks: tuple[NewDisk, ...]
    force_host: str  # asked for, or the one that keeps the volumes


def drafts(request: BootRequest, found: Checked, count: int, new_id: Callable[[], str]) -> Sequence[NewServer]:
    """So many servers of one reservation, before they are recorded."""
    reservation = "r-" + "".join(secrets.choice(_RESERVATION_LETTERS) for _ in range(8))
    kernel_id, ramdisk_id = boot_files(found.image)
    kernel_id, ramdisk_id = request.kernel_id or kernel_id, request.ramdisk_id or ramdisk_id
    made = []
    for index in range(count):
        server_id = new_id()
        name = numbered(request.name, index, count) if request.name else f"Server {server_id}"
        made.append(
            NewServer(
                id=server_id,
                name=name,
                hostname=host_name(name, server_id),
                flavor=found.flavor,
                image_id=found.image.id,
                image=found.image,
                kernel_id=kernel_id,
                ramdisk_id=ramdisk_id,
                description=request.description,
                key_name=request.key_name,
                public_key=found.public_key,
                metadata=request.metadata,
                tags=request.tags,
                availability_zone=found.availability_zone,
                has_config_drive=request.has_config_drive,
                reservation_id=reservation,
                launch_index=index,
                access_ipv4=request.access_ipv4,
                access_ipv6=request.access_ipv6,
                disk_config=request.disk_config,
                user_data=request.user_data,
                files=request.files,
                force_host=found.force_host,
                hints=request.hints,
                group_id=request.group_id,
                security_groups=request.security_groups,
                disks=fresh(found.disks),
            )
        )
    return made


def host_of(request: BootRequest, disks: Sequence[NewDisk]) -> str:
    """The host that the servers must go to; empty: any. Raises Invalid when it is not the one that keeps their volumes."""
    bound = next(iter(hosts_of(disks)), "")
    if request.force_host and bound not in ("", request.force_host):
        raise Invalid(reason=f"Block Device Mapping is Invalid: its volumes are kept on host {bound}.")
    return request.force_host or bound
