"""The tables of security groups and floating addresses.

Their ids are numbers, as those of nova-network are: both APIs show them, EC2 in hex. Each row has a uuid too, made before it is written,
by which a write that runs again finds what it did.
"""

from typing import Final

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, UniqueConstraint

from novaflow.db.schema.metadata import Key, Name, UtcDateTime, Uuid, table

security_groups: Final = table(
    "security_groups",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", Uuid, nullable=False, unique=True),
    Column("project_id", Key, nullable=False),
    Column("user_id", Key, nullable=False),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("project_id", "name"),
)

security_rules: Final = table(
    "security_rules",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", Uuid, nullable=False, unique=True),
    Column("group_id", Integer, nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("from_port", Integer, nullable=False),
    Column("to_port", Integer, nullable=False),
    Column("cidr", String(43)),  # null: from the servers of `source_id`
    Column("source_id", Integer),
    Index(None, "group_id"),
    Index(None, "source_id"),
)

security_group_members: Final = table(
    "security_group_members",
    Column("server_id", Uuid, nullable=False),
    Column("group_id", Integer, nullable=False),
    PrimaryKeyConstraint("server_id", "group_id"),
    Index(None, "group_id"),
)

floating_addresses: Final = table(
    "floating_addresses",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", Uuid, nullable=False, unique=True),
    Column("ip", String(39), nullable=False, unique=True),
    Column("project_id", Key, nullable=False),
    Column("server_id", Uuid),
    Column("fixed_ip", String(39)),
    Index(None, "project_id"),
    Index(None, "server_id"),
)
