"""Listing servers: what may be asked for, and the one SELECT that answers it.

Filters and sort keys are those of Nova's GET /servers (nova/api/openstack/compute/servers.py). Pages are stable: a marker
names the last server seen, and what is made or deleted meanwhile does not shift the rest.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Integer, Select, Text, and_, exists, false, func, or_, select, true, type_coerce
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from novaflow.db.records import SERVER_COLUMNS, server_of
from novaflow.db.schema.compute import addresses, servers
from novaflow.errors import Invalid
from novaflow.models import Server, ServerName, Value
from novaflow.states import STATES, Power, Task, Vm

_LONGEST_PATTERN: Final = 255
_BAD_REGEX: Final = 1139  # MariaDB's ER_REGEXP_ERROR


class ServerQuery(Value, frozen=True, kw_only=True):
    """What to list. A filter that is None (or empty) does not filter; `name` and `ip` are regular expressions."""

    project_id: str | None = None
    user_id: str | None = None
    name: str | None = None
    hostname: str | None = None
    ids: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None  # as the API shows them: ACTIVE, SHUTOFF ...
    vm: Vm | None = None
    task: Task | None = None
    power: Power | None = None
    image_id: str | None = None
    flavor_id: str | None = None
    host: str | None = None
    availability_zone: str | None = None
    key_name: str | None = None
    reservation_id: str | None = None
    description: str | None = None
    ip: str | None = None
    access_ipv4: str | None = None
    access_ipv6: str | None = None
    has_config_drive: bool | None = None
    is_locked: bool | None = None
    launch_index: int | None = None
    tags: tuple[str, ...] = ()  # has all of them
    tags_any: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()  # has not all of them
    not_tags_any: tuple[str, ...] = ()  # has none of them
    changes_since: datetime | None = None  # includes deleted servers
    changes_before: datetime | None = None
    deleted: bool = False  # only deleted servers
    deleted_since: datetime | None = None  # only servers that were deleted then or later
    sort_keys: tuple[str, ...] = ("created_at",)
    sort_dirs: tuple[str, ...] = ("desc",)  # asc or desc; what is missing is as the last
    marker: str | None = None
    limit: int | None = None


_EQUALS: Final = (
    "project_id",
    "user_id",
    "hostname",
    "vm",
    "task",
    "power",
    "image_id",
    "flavor_id",
    "host",
    "availability_zone",
    "key_name",
    "reservation_id",
    "description",
    "access_ipv4",
    "access_ipv6",
    "has_config_drive",
    "is_locked",
    "launch_index",
)

# Nova's sort keys (SERVER_LIST sort_keys in nova/api/openstack/compute/schemas/servers.py). A null sorts as empty.
_SORTED_BY: Final[dict[str, ColumnElement[Any]]] = {
    "access_ip_v4": servers.c.access_ipv4,
    "access_ip_v6": servers.c.access_ipv6,
    "availability_zone": servers.c.availability_zone,
    "config_drive": type_coerce(servers.c.has_config_drive, Integer()),
    "created_at": servers.c.created_at,
    "display_description": func.coalesce(servers.c.description, ""),
    "display_name": servers.c.name,
    "host": func.coalesce(servers.c.host, ""),
    "hostname": servers.c.hostname,
    "image_ref": servers.c.image_id,
    "instance_type_id": servers.c.flavor_id,
    "kernel_id": servers.c.kernel_id,
    "key_name": func.coalesce(servers.c.key_name, ""),
    "launch_index": servers.c.launch_index,
    "launched_at": func.coalesce(servers.c.launched_at, servers.c.created_at),  # one never launched: when it was made
    "locked": type_coerce(servers.c.is_locked, Integer()),
    "node": func.coalesce(servers.c.host, ""),
    "power_state": servers.c.power,
    "progress": servers.c.progress,
    "project_id": servers.c.project_id,
    "ramdisk_id": servers.c.ramdisk_id,
    "reservation_id": servers.c.reservation_id,
    "task_state": servers.c.task,
    "updated_at": servers.c.updated_at,
    "user_id": servers.c.user_id,
    "uuid": servers.c.id,
    "vm_state": servers.c.vm,
}
_NAMES: Final = (servers.c.id, servers.c.name)
SORT_KEYS: Final = frozenset(_SORTED_BY)


async def listed(connection: AsyncConnection, query: ServerQuery) -> list[Server]:
    """The servers that answer to `query`, in its order.

    Raises Invalid for a pattern that is no regular expression, an unknown sort key or marker.
    """
    return [server_of(row) for row in await _rows(connection, query, SERVER_COLUMNS)]


async def named(connection: AsyncConnection, query: ServerQuery) -> list[ServerName]:
    """The same servers by id and name alone, for a tenth of the cost. Raises as `listed`."""
    return [ServerName(id=row[0], name=row[1]) for row in await _rows(connection, query, _NAMES)]


async def _rows(
    connection: AsyncConnection, query: ServerQuery, columns: Sequence[ColumnElement[Any]]
) -> Iterable[Sequence[Any]]:
    keys = _sorting(query)
    statement = select(*columns).where(*_filters(query))
    if query.marker is not None:
        statement = statement.where(await _after_marker(connection, query, keys))
    statement = statement.order_by(*(column.desc() if down else column.asc() for column, down in keys))
    try:
        return await connection.execute(statement if query.limit is None else statement.limit(query.limit))
    except DBAPIError as error:
        if error.orig is not None and error.orig.args[:1] == (_BAD_REGEX,):
            raise Invalid(reason=f"not a regular expression: {query.name or query.ip}") from error
        raise


def _filters(query: ServerQuery) -> list[ColumnElement[bool]]:
    wanted = ((name, getattr(query, name)) for name in _EQUALS)
    filters: list[ColumnElement[bool]] = [servers.c[name] == value for name, value in wanted if value is not None]
    filters += _lifetime(query) + _tagged(query)
    if query.ids is not None:
        filters.append(servers.c.id.in_(query.ids))
    if query.statuses is not None:
        shown = [state for state in STATES if state.status in query.statuses]
        either = [and_(servers.c.vm == state.vm, servers.c.task == state.task) for state in shown]
        filters.append(or_(false(), *either))
    if query.name is not None:
        filters.append(servers.c.name.regexp_match(_pattern("name", query.name)))
    if query.ip is not None:
        has_ip = addresses.c.ip.regexp_match(_pattern("ip", query.ip))
        filters.append(exists().where(addresses.c.server_id == servers.c.id, has_ip))
    return filters


def _lifetime(query: ServerQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if query.deleted_since is not None:
        # This alone, so that the index finds the few that ended lately among all that the project ever had.
        filters.append(servers.c.deleted_at >= query.deleted_since)
    elif query.deleted:
        filters.append(servers.c.is_deleted == true())
    elif query.changes_since is None:
        filters.append(servers.c.is_deleted == false())
    if query.changes_since is not None:
        filters.append(servers.c.updated_at >= query.changes_since)
    if query.changes_before is not None:
        filters.append(servers.c.updated_at <= query.changes_before)
    return filters


def _tagged(query: ServerQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if query.tags:
        filters.append(and_(*(_has_tag(tag) for tag in query.tags)))
    if query.tags_any:
        filters.append(or_(*(_has_tag(tag) for tag in query.tags_any)))
    if query.not_tags:
        filters.append(~and_(*(_has_tag(tag) for tag in query.not_tags)))
    if query.not_tags_any:
        filters.append(~or_(*(_has_tag(tag) for tag in query.not_tags_any)))
    return filters


def _has_tag(tag: str) -> ColumnElement[bool]:
    """The JSON text has the tag's own JSON as an element.

    An element follows the opening bracket or a comma directly. Within an element a quote is escaped, so neither can
    stand before one there.
    """
    text = type_coerce(servers.c.tags, Text())
    element = msgspec.json.encode(tag).decode()
    return or_(func.instr(text, f"[{element}") > 0, func.instr(text, f",{element}") > 0)


def _pattern(field: str, pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise Invalid(reason=f"{field}: not a regular expression: {error}") from error
    if len(pattern) > _LONGEST_PATTERN:
        raise Invalid(reason=f"{field}: a pattern has at most {_LONGEST_PATTERN} characters")
    return pattern


def _sorting(query: ServerQuery) -> list[tuple[ColumnElement[Any], bool]]:
    """Columns with True for descending; the id last, in the direction of the others, makes the order total."""
    unknown = [key for key in query.sort_keys if key not in _SORTED_BY]
    if unknown:
        raise Invalid(reason=f"sort_key: '{unknown[0]}' is not one of the keys servers can be sorted by")
    dirs = list(query.sort_dirs) or ["desc"]
    wrong = [given for given in dirs if given not in ("asc", "desc")]
    if wrong:
        raise Invalid(reason=f"sort_dir: '{wrong[0]}' is neither asc nor desc")
    dirs += dirs[-1:] * (len(query.sort_keys) - len(dirs))
    pairs = zip(query.sort_keys, dirs, strict=False)
    keys = [(_SORTED_BY[key], direction == "desc") for key, direction in pairs]
    return [*keys, (servers.c.id, keys[-1][1] if keys else True)]


async def _after_marker(
    connection: AsyncConnection, query: ServerQuery, keys: Sequence[tuple[ColumnElement[Any], bool]]
) -> ColumnElement[bool]:
    """What comes after the marker in this order: later in the first key, or level there and later in the next ..."""
    statement: Select[Any] = select(*(column for column, _ in keys)).where(servers.c.id == query.marker)
    if query.project_id is not None:
        statement = statement.where(servers.c.project_id == query.project_id)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise Invalid(reason=f"marker [{query.marker}] not found")
    later: list[ColumnElement[bool]] = []
    level: list[ColumnElement[bool]] = []
    for (column, down), value in zip(keys, row, strict=True):
        later.append(and_(*level, column < value if down else column > value))
        level.append(column == value)
    first, down = keys[0]
    # Says nothing new, but lets the database start reading the index where the page starts.
    bound = first <= row[0] if down else first >= row[0]
    return and_(bound, or_(*later))
