"""The image that a server's disk becomes: what it says of itself before it has any data. Pure.

Names and values are Nova's (nova/compute/utils.py, create_image and initialize_instance_snapshot_metadata). The format is what every
driver writes.
"""

from collections.abc import Mapping
from typing import Final

from novaflow.models import Context, ImageFacts, NewImage, Server

SNAPSHOT: Final = "snapshot"
BACKUP: Final = "backup"
DISK_FORMAT: Final = "qcow2"
CONTAINER_FORMAT: Final = "bare"
_NOT_INHERITED: Final = frozenset(
    {
        "bittorrent",
        "cache_in_nova",
        "img_signature",
        "img_signature_certificate_uuid",
        "img_signature_hash_method",
        "img_signature_key_type",
    }
)


def image_of(
    context: Context,
    server: Server,
    base: ImageFacts | None,
    name: str,
    *,
    kind: str = SNAPSHOT,
    extra: Mapping[str, str] | None = None,
) -> NewImage:
    """An image of `server`, which was made of `base`; `extra` properties are the caller's."""
    inherited = {key: value for key, value in (base.properties if base else {}).items() if key not in _NOT_INHERITED}
    properties = {
        **inherited,
        "base_image_ref": server.image_id,
        "instance_uuid": server.id,
        "user_id": context.user_id,
        "image_type": kind,
        **(extra or {}),
    }
    is_own = context.project_id == server.project_id
    if not is_own:
        properties["instance_owner"] = server.project_id  # who may then share the image with its owner
    return NewImage(
        name=name,
        disk_format=DISK_FORMAT,
        container_format=CONTAINER_FORMAT,
        visibility="private" if is_own else "shared",
        min_disk_gb=max(server.flavor.disk_gb, base.min_disk_gb if base else 0),
        min_ram_mb=base.min_ram_mb if base else 0,
        properties=properties,
    )
