"""The tables of what servers run on and are made of: hosts, services, flavors, key pairs."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
)

from novaflow.db.schema.metadata import JsonText, Key, LongText, Name, UtcDateTime, Uuid, table
from novaflow.hosts import HostResources

hosts: Final = table(
    "hosts",
    Column("name", Name, primary_key=True),
    Column("id", Uuid, nullable=False, unique=True),
    Column("availability_zone", Name, nullable=False),
    Column("resources", JsonText(HostResources, kept=4096), nullable=False),
    Column("vcpus", BigInteger, nullable=False),  # these three say again what `resources` says, for claims
    Column("ram_mb", BigInteger, nullable=False),
    Column("disk_gb", BigInteger, nullable=False),
    Column("vcpus_used", BigInteger, nullable=False),
    Column("ram_mb_used", BigInteger, nullable=False),
    Column("disk_gb_used", BigInteger, nullable=False),
    Column("servers", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # The last change of what a scheduler decides upon, its service's flags too, by the database's clock; a beat changes nothing.
    Column("changed_at", UtcDateTime, nullable=False),
    Index(None, "changed_at"),
)

services: Final = table(
    "services",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", Uuid, nullable=False, unique=True),
    Column("binary", Key, nullable=False),
    Column("host", Name, nullable=False),
    Column("zone", Name, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("is_forced_down", Boolean, nullable=False),
    Column("disabled_reason", Name),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),  # the last sign of life
    UniqueConstraint("binary", "host"),
)

flavors: Final = table(
    "flavors",
    Column("id", Name, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("ram_mb", Integer, nullable=False),
    Column("disk_gb", Integer, nullable=False),
    Column("ephemeral_gb", Integer, nullable=False),
    Column("swap_mb", Integer, nullable=False),
    Column("rxtx_factor", Float, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("description", LongText),
    Column("extra_specs", JsonText(dict[str, str]), nullable=False),
)

# Which projects may use a flavor that is not public.
flavor_projects: Final = table(
    "flavor_projects",
    Column("flavor_id", Name, ForeignKey("flavors.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Key, nullable=False),
    PrimaryKeyConstraint("flavor_id", "project_id"),
)

key_pairs: Final = table(
    "key_pairs",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("user_id", Key, nullable=False),
    Column("name", Name, nullable=False),
    Column("public_key", LongText, nullable=False),
    Column("fingerprint", Key, nullable=False),
    Column("type", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("private_fingerprint", Key, nullable=False, server_default=""),
    UniqueConstraint("user_id", "name"),
)
