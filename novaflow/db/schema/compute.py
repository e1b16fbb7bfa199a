"""The tables of servers: the servers themselves, their tasks and their history.

A deleted server stays, marked; `is_deleted` says again what `vm` says, so that an index can lead a listing past all that
is gone. What only a build needs, and may be large, is in a table of its own: moving a server from state to state rewrites
its row. No foreign keys bind them: rows are never removed, and checking keys would lock the server's row for every step.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, String, UniqueConstraint

from novaflow.db.schema.metadata import Choice, JsonText, Key, LongText, Name, UtcDateTime, Uuid, table
from novaflow.models import Address, Fault, Flavor, Hints, ImageFacts, InjectedFile
from novaflow.states import Event, Power, Task, Vm
from novaflow.tasks import TaskParams

servers: Final = table(
    "servers",
    Column("id", Uuid, primary_key=True),
    Column("name", Name, nullable=False),
    Column("hostname", Name, nullable=False),
    Column("project_id", Key, nullable=False),
    Column("user_id", Key, nullable=False),
    Column("vm", Choice(Vm), nullable=False),
    Column("task", Choice(Task), nullable=False),
    Column("task_id", Uuid),  # the task that owns the server now
    Column("power", Choice(Power), nullable=False),
    Column("host", Name),
    Column("flavor", JsonText(Flavor, kept=512), nullable=False),  # as it was when the server was made
    Column("flavor_id", Name, nullable=False),
    Column("vcpus", Integer, nullable=False),  # these three are what the server takes on its host
    Column("ram_mb", Integer, nullable=False),
    Column("disk_gb", Integer, nullable=False),
    Column("image_id", Key, nullable=False),
    Column("kernel_id", Key, nullable=False),
    Column("ramdisk_id", Key, nullable=False),
    Column("key_name", Name),
    Column("description", Name),
    Column("metadata", JsonText(dict[str, str]), nullable=False),
    Column("tags", JsonText(tuple[str, ...]), nullable=False),
    Column("addresses", JsonText(tuple[Address, ...]), nullable=False),
    Column("availability_zone", Name, nullable=False),
    Column("has_config_drive", Boolean, nullable=False),
    Column("reservation_id", Key, nullable=False),
    Column("launch_index", Integer, nullable=False),
    Column("access_ipv4", String(39), nullable=False),
    Column("access_ipv6", String(39), nullable=False),
    Column("disk_config", String(16), nullable=False),
    Column("is_locked", Boolean, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("fault", JsonText(Fault)),  # of the last task that failed
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),  # the last step of the owning task
    Column("launched_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("is_deleted", Boolean, nullable=False),
    Index(None, "project_id", "is_deleted", "created_at"),
    Index(None, "project_id", "deleted_at"),
    Index(None, "is_deleted", "created_at"),
    Index(None, "host"),
    Index(None, "reservation_id"),
)

server_builds: Final = table(
    "server_builds",
    Column("server_id", Uuid, primary_key=True),
    Column("user_data", LongText, nullable=False),
    Column("files", JsonText(tuple[InjectedFile, ...]), nullable=False),
    Column("public_key", LongText, nullable=False),
    Column("image", JsonText(ImageFacts)),
    Column("availability_zone", Name, nullable=False),  # as asked for; the server's own is where it is
    Column("force_host", Name, nullable=False),
    Column("hints", JsonText(Hints), nullable=False),
)

# What a guest has encrypted for its owner and posted, once.
guest_passwords: Final = table(
    "guest_passwords",
    Column("server_id", Uuid, primary_key=True),
    Column("password", LongText, nullable=False),
)

# One row per transition. `id` is made before the first attempt to write it and sorts by time.
server_history: Final = table(
    "server_history",
    Column("server_id", Uuid, nullable=False),
    Column("id", String(32), nullable=False),
    Column("task_id", Uuid, nullable=False),
    Column("event", Choice(Event), nullable=False),
    Column("vm_before", Choice(Vm)),  # null: the server was made
    Column("task_before", Choice(Task)),
    Column("vm_after", Choice(Vm), nullable=False),
    Column("task_after", Choice(Task), nullable=False),
    Column("host", Name),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("server_id", "id"),
)

tasks: Final = table(
    "tasks",
    Column("id", Uuid, primary_key=True),
    Column("server_id", Uuid, nullable=False),
    Column("action", Key, nullable=False),
    Column("request_id", Key, nullable=False),
    Column("user_id", Key, nullable=False),
    Column("project_id", Key, nullable=False),
    Column("state", String(16), nullable=False),  # running, done, error, superseded
    Column("attempts", Integer, nullable=False),
    Column("host", Name),
    Column("message", LongText),
    Column("params", JsonText(TaskParams)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),  # the last sign of life other than a step of the server
    Column("finished_at", UtcDateTime),
    Index(None, "state"),
    Index(None, "server_id", "created_at"),
)

# One row per move. `claim_host` holds room of the three claim columns for the server, beside the server's own host.
migrations: Final = table(
    "migrations",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", Uuid, nullable=False, unique=True),
    Column("server_id", Uuid, nullable=False),
    Column("task_id", Uuid, nullable=False),  # the task that ordered it
    Column("type", Key, nullable=False),
    Column("status", Key, nullable=False),
    Column("source_host", Name, nullable=False),
    Column("dest_host", Name),
    Column("old_flavor", JsonText(Flavor, kept=512), nullable=False),
    Column("new_flavor", JsonText(Flavor, kept=512), nullable=False),
    Column("old_vm", Choice(Vm), nullable=False),
    Column("project_id", Key, nullable=False),
    Column("user_id", Key, nullable=False),
    Column("claim_host", Name),
    Column("claim_vcpus", Integer, nullable=False),
    Column("claim_ram_mb", Integer, nullable=False),
    Column("claim_disk_gb", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "server_id"),
    Index(None, "claim_host"),
    Index(None, "status", "updated_at"),
)

addresses: Final = table(
    "addresses",
    Column("network", Key, nullable=False),
    Column("ip", String(39), nullable=False),
    Column("mac", String(17), nullable=False),
    Column("version", Integer, nullable=False),
    Column("server_id", Uuid, nullable=False),
    PrimaryKeyConstraint("network", "ip"),
    UniqueConstraint("server_id", "network"),
)

usages: Final = table(
    "usages",
    Column("project_id", Key, nullable=False),  # '' in a user's own row
    Column("user_id", Key, nullable=False),  # '' in a project's row
    Column("instances", BigInteger, nullable=False, default=0),
    Column("cores", BigInteger, nullable=False, default=0),
    Column("ram", BigInteger, nullable=False, default=0),  # MB
    Column("key_pairs", BigInteger, nullable=False, default=0),
    PrimaryKeyConstraint("project_id", "user_id"),
)

quota_limits: Final = table(
    "quota_limits",
    Column("project_id", Key, nullable=False),
    Column("resource", Key, nullable=False),
    Column("value", BigInteger, nullable=False),  # -1: unlimited
    PrimaryKeyConstraint("project_id", "resource"),
)
