"""An image as the image service has it, and the states it passes through.

The states and their order are Glance's (glance/domain/__init__.py, `Image.valid_state_targets`), as far as this service
uses them: data is uploaded once, an upload that fails gives the image back as it was, and nothing leaves `deleted`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from novaflow.models import Value


class Status(StrEnum):
    """Where in its life an image is; only `active` images can be booted. `deleted` may follow on every other."""

    QUEUED = "queued"  # known, without data; then saving
    SAVING = "saving"  # data is coming in; then active, or queued again
    ACTIVE = "active"  # then deactivated
    DEACTIVATED = "deactivated"  # data withheld from everybody but an admin; then active
    DELETED = "deleted"


class Visibility(StrEnum):
    """Whom an image is shown to, besides its owner and admins."""

    PUBLIC = "public"  # everybody
    COMMUNITY = "community"  # everybody, but listed only for who asks
    SHARED = "shared"  # its members
    PRIVATE = "private"


DISK_FORMATS: Final = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINER_FORMATS: Final = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")


class Image(Value, frozen=True, kw_only=True):
    """One image. Sizes are bytes, `min_disk` GB and `min_ram` MB, as the API names them.

    `checksum` is md5 and `os_hash_value` the digest by `os_hash_algo`, both lowercase hex; they and the
    sizes are None until there is data. `properties` are the names Glance does not know itself.
    """

    id: str
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    status: Status = Status.QUEUED
    visibility: Visibility = Visibility.SHARED
    owner: str | None = None
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    tags: tuple[str, ...] = ()
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class StoredData(Value, frozen=True, kw_only=True):
    """What an upload turned out to be."""

    size: int
    virtual_size: int | None
    checksum: str
    os_hash_value: str
    os_hash_algo: str = "sha512"


class Member(Value, frozen=True, kw_only=True):
    """A project an image is shared with, and what it said to that: pending, accepted or rejected."""

    image_id: str
    member_id: str
    status: str
    created_at: datetime
    updated_at: datetime
