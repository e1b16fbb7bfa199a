"""The image service's tables: images, and what hangs on them.

A deleted image keeps its row, so that its id is never given to other data; its properties, tags and members go.
`upload_id` names the one upload that may finish a `saving` image.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, String

from novaflow.db.schema.metadata import Choice, Key, LongText, Name, UtcDateTime, Uuid, table
from novaflow.images.image import Status, Visibility

images: Final = table(
    "images",
    Column("id", Uuid, primary_key=True),
    Column("name", Name),
    Column("status", Choice(Status), nullable=False),
    Column("visibility", Choice(Visibility), nullable=False),
    Column("owner", Name),
    Column("protected", Boolean, nullable=False),
    Column("os_hidden", Boolean, nullable=False),
    Column("disk_format", Key),
    Column("container_format", Key),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", String(32)),
    Column("os_hash_algo", Key),
    Column("os_hash_value", String(128)),
    Column("upload_id", Uuid),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index(None, "status", "created_at", "id"),
    Index(None, "owner"),
)

image_properties: Final = table(
    "image_properties",
    Column("image_id", Uuid, ForeignKey("images.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("value", LongText, nullable=False),
    PrimaryKeyConstraint("image_id", "name"),
)

image_tags: Final = table(
    "image_tags",
    Column("image_id", Uuid, ForeignKey("images.id"), nullable=False),
    Column("value", Name, nullable=False),
    PrimaryKeyConstraint("image_id", "value"),
    Index(None, "value"),
)

image_members: Final = table(
    "image_members",
    Column("image_id", Uuid, ForeignKey("images.id"), nullable=False),
    Column("member_id", Name, nullable=False),
    Column("status", Key, nullable=False),  # pending, accepted or rejected
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("image_id", "member_id"),
    Index(None, "member_id", "status"),
)
