"""Images and members as Glance shows them (glance/api/v2/images.py, ResponseSerializer)."""

from datetime import datetime
from typing import Any, Final

from novaflow.images.image import Image, Member

_SHOWN: Final = (
    "id",
    "name",
    "status",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "tags",
)


def image_view(image: Image) -> dict[str, Any]:
    """The whole image; its properties are keys beside the others."""
    href = f"/v2/images/{image.id}"
    return {
        **image.properties,
        **{name: getattr(image, name) for name in _SHOWN},
        "created_at": moment(image.created_at),
        "updated_at": moment(image.updated_at),
        "self": href,
        "file": f"{href}/file",
        "schema": "/v2/schemas/image",
    }


def member_view(member: Member) -> dict[str, Any]:
    """One membership."""
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": moment(member.created_at),
        "updated_at": moment(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def moment(when: datetime) -> str:
    """Whole seconds with a Z, as oslo's isotime."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
