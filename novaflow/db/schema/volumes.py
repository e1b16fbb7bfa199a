"""Volumes and their snapshots. Rows of deleted ones stay, so that a host which still has the file learns that nobody wants it."""

from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, false

from novaflow.db.schema.metadata import Choice, JsonText, Key, LongText, Name, UtcDateTime, Uuid, table
from novaflow.volumes import Status


def _common() -> tuple[Column[object], ...]:
    return (
        Column("id", Uuid, primary_key=True),
        Column("project_id", Key, nullable=False),
        Column("user_id", Key, nullable=False),
        Column("name", Name, nullable=False),
        Column("description", LongText, nullable=False),
        Column("metadata", JsonText(dict[str, str]), nullable=False),
        Column("size_gb", Integer, nullable=False),
        Column("status", Choice(Status), nullable=False),
        Column("is_deleted", Boolean, nullable=False),
        Column("host", Name),
        Column("order_id", Uuid, nullable=False),
        Column("ordered_at", UtcDateTime, nullable=False),
        Column("orders", Integer, nullable=False),  # of the same: how often the order was sent
        Column("fault", LongText, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Column("updated_at", UtcDateTime, nullable=False),
    )


volumes: Final = table(
    "volumes",
    *_common(),
    Column("availability_zone", Name, nullable=False),
    Column("snapshot_id", Uuid),
    Column("server_id", Uuid),
    Column("device", Key, nullable=False),
    Column("attached_at", UtcDateTime),
    Column("delete_on_termination", Boolean, nullable=False, server_default=false()),
    Index(None, "project_id", "is_deleted"),
    Index(None, "host"),
    Index(None, "server_id"),
    Index(None, "status", "ordered_at"),
)

volume_snapshots: Final = table(
    "volume_snapshots",
    *_common(),
    Column("volume_id", Uuid, nullable=False),
    Index(None, "project_id", "is_deleted"),
    Index(None, "host"),
    Index(None, "status", "ordered_at"),
)
