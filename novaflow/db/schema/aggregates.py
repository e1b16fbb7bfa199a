"""Hosts in sets, servers in groups, and the quotas of classes and users.

`server_group_members` says of every server that is there which group it is in: who deletes a server removes its row. Limits are
of a class, of a project (novaflow.db.schema.compute.quota_limits) or of one user in a project, each over the one before.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint

from novaflow.db.schema.metadata import JsonText, Key, Name, UtcDateTime, Uuid, table

aggregates: Final = table(
    "aggregates",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", Uuid, nullable=False),
    Column("name", Name, nullable=False, unique=True),
    Column("availability_zone", Name),
    Column("metadata", JsonText(dict[str, str]), nullable=False),  # without the zone
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime),
)

aggregate_hosts: Final = table(
    "aggregate_hosts",
    Column("aggregate_id", Integer, ForeignKey("aggregates.id", ondelete="CASCADE"), nullable=False),
    Column("host", Name, nullable=False),
    PrimaryKeyConstraint("aggregate_id", "host"),
    Index(None, "host"),
)

server_groups: Final = table(
    "server_groups",
    Column("id", Uuid, primary_key=True),
    Column("name", Name, nullable=False),
    Column("policy", Key, nullable=False),
    Column("max_server_per_host", Integer, nullable=False),
    Column("project_id", Key, nullable=False),
    Column("user_id", Key, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "project_id", "user_id"),
)

server_group_members: Final = table(
    "server_group_members",
    Column("group_id", Uuid, nullable=False),
    Column("server_id", Uuid, nullable=False),
    PrimaryKeyConstraint("group_id", "server_id"),
    Index(None, "server_id"),
)

quota_class_limits: Final = table(
    "quota_class_limits",
    Column("class_name", Name, nullable=False),
    Column("resource", Key, nullable=False),
    Column("value", BigInteger, nullable=False),  # -1: unlimited
    PrimaryKeyConstraint("class_name", "resource"),
)

user_quota_limits: Final = table(
    "user_quota_limits",
    Column("project_id", Key, nullable=False),
    Column("user_id", Key, nullable=False),
    Column("resource", Key, nullable=False),
    Column("value", BigInteger, nullable=False),  # -1: unlimited
    PrimaryKeyConstraint("project_id", "user_id", "resource"),
)
