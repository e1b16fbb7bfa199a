"""Making servers: the rows of all of them, their tasks, their history and the quota they take, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.data_disks import NewDisk
from novaflow.db import booked_volumes, client_tokens, ec2_ids, security_members, server_groups, tasks, usages
from novaflow.db.ids import new_uuid, row_id
from novaflow.db.schema.compute import server_builds, servers
from novaflow.db.transitions import Transition, record
from novaflow.models import ClientToken, Context, Flavor, Hints, ImageFacts, InjectedFile, Server, Value
from novaflow.quotas import QuotaLimits, ask_of
from novaflow.states import SCHEDULING, Event, Power

CREATE: Final = "create"


class NewServer(Value, frozen=True, kw_only=True):
    """A server as the API decided it, before it exists. `user_data` and file contents are base64."""

    name: str
    hostname: str
    flavor: Flavor
    image_id: str = ""
    id: str = msgspec.field(default_factory=new_uuid)
    description: str | None = None
    kernel_id: str = ""
    ramdisk_id: str = ""
    key_name: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    availability_zone: str = ""  # as asked for; empty: any
    has_config_drive: bool = False
    reservation_id: str = ""
    launch_index: int = 0
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: str = "MANUAL"
    user_data: str = ""
    files: tuple[InjectedFile, ...] = ()
    public_key: str = ""
    image: ImageFacts | None = None
    force_host: str = ""
    hints: Hints = msgspec.field(default_factory=dict)
    group_id: str = ""  # the server group that it joins
    security_groups: tuple[str, ...] = ()  # their names; none: the default one
    disks: tuple[NewDisk, ...] = ()

    def __repr__(self) -> str:
        return f"NewServer(id={self.id!r}, name={self.name!r})"


_INSERT_SERVERS: Final = insert(servers)
_INSERT_BUILDS: Final = insert(server_builds)
_SHARED: Final = tuple(name for name in NewServer.__struct_fields__ if name in Server.__struct_fields__)


@dataclass(frozen=True)
class Creation:
    """Servers about to be made, with all identifiers they will have."""

    context: Context
    drafts: Sequence[NewServer]
    servers: tuple[Server, ...]
    history: tuple[tuple[str, Transition], ...]
    now: datetime
    once: ClientToken | None = None


def plan(context: Context, drafts: Sequence[NewServer], now: datetime, once: ClientToken | None = None) -> Creation:
    """Decide identifiers and values, so that writing them twice is recognised."""
    made = tuple(_server_of(context, draft, now) for draft in drafts)
    return Creation(context, drafts, made, tuple((row_id(now), _made(server)) for server in made), now, once)


async def write(connection: AsyncConnection, creation: Creation, limits: QuotaLimits) -> None:
    """Write the rows; raises QuotaExceeded, TokenTaken, what joining groups and booking volumes raise, and IntegrityError when these very servers exist.

    `limits` count where the database has none. The quota comes last: its row is the one that other creations wait for.
    """
    rows = [_row_of(server) for server in creation.servers]
    builds = [_build_of(draft) for draft in creation.drafts]
    orders = [
        tasks.row_of(creation.context, server.id, server.task_id or "", CREATE, creation.now)
        for server in creation.servers
    ]
    if creation.once is not None:
        reservation_id = creation.servers[0].reservation_id
        await client_tokens.take(connection, creation.context.project_id, creation.once, reservation_id, creation.now)
    await connection.execute(_INSERT_SERVERS, rows if len(rows) > 1 else rows[0])
    await connection.execute(_INSERT_BUILDS, builds if len(builds) > 1 else builds[0])
    await ec2_ids.add_instances(connection, [server.id for server in creation.servers])
    await tasks.add(connection, orders)
    await record(connection, creation.history, creation.now)
    await _join_security_groups(connection, creation)
    await _join_groups(connection, creation, limits)
    for draft in creation.drafts:
        await booked_volumes.book(connection, creation.context, draft.id, draft.disks, limits, creation.now)
    ask = ask_of(draft.flavor for draft in creation.drafts)
    who = {"project_id": creation.context.project_id, "user_id": creation.context.user_id}
    await usages.reserve_servers(connection, ask, limits, **who)


async def _join_groups(connection: AsyncConnection, creation: Creation, limits: QuotaLimits) -> None:
    groups: dict[str, list[str]] = {}
    for draft in creation.drafts:
        if draft.group_id:
            groups.setdefault(draft.group_id, []).append(draft.id)
    for group_id in sorted(groups):
        await server_groups.join(connection, creation.context, group_id, groups[group_id], limits)


async def _join_security_groups(connection: AsyncConnection, creation: Creation) -> None:
    joining: dict[tuple[str, ...], list[str]] = {}
    for draft in creation.drafts:
        joining.setdefault(draft.security_groups, []).append(draft.id)
    for names, server_ids in sorted(joining.items()):
        await security_members.join(connection, creation.context, names, server_ids, creation.now)


def _server_of(context: Context, draft: NewServer, now: datetime) -> Server:
    return Server(
        **{name: getattr(draft, name) for name in _SHARED},
        project_id=context.project_id,
        user_id=context.user_id,
        vm=SCHEDULING.vm,
        task=SCHEDULING.task,
        task_id=new_uuid(),
        power=Power.NOSTATE,
        created_at=now,
        updated_at=now,
    )


def _made(server: Server) -> Transition:
    return Transition(
        server_id=server.id,
        task_id=server.task_id or "",
        event=Event.CREATE_ORDERED,
        before=None,
        after=SCHEDULING,
    )


def _row_of(server: Server) -> dict[str, Any]:
    fields = {name: getattr(server, name) for name in Server.__struct_fields__}
    return fields | {
        "flavor_id": server.flavor.id,
        "vcpus": server.flavor.vcpus,
        "ram_mb": server.flavor.ram_mb,
        "disk_gb": server.flavor.claimed_disk_gb,
        "moved_at": server.created_at,
        "is_deleted": False,
    }


def _build_of(draft: NewServer) -> dict[str, Any]:
    return {
        "server_id": draft.id,
        "user_data": draft.user_data,
        "files": draft.files,
        "public_key": draft.public_key,
        "image": draft.image,
        "availability_zone": draft.availability_zone,
        "force_host": draft.force_host,
        "hints": draft.hints,
    }
