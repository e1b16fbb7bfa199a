"""Which servers a list shows: filters, order and page, from the query of the url.

Filters that are unknown, or that only administrators may use, are ignored, as in Nova. Source:
nova/api/openstack/compute/servers.py (_get_servers), nova/api/openstack/compute/schemas/servers.py (index_query).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

from aiohttp import web

from novaflow.db.listing import SORT_KEYS
from novaflow.db.servers import ServerQuery
from novaflow.errors import Invalid
from novaflow.models import Context
from novaflow.operations.rights import admin_only
from novaflow.states import STATES, Power, Task, Vm
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import context, microversion
from services.api.openstack.paging import page

T = TypeVar("T")

_EVERYONE: Final = frozenset(
    {"reservation_id", "name", "status", "image", "flavor", "ip", "changes-since", "all_tenants"}
)
_TAG_FILTERS: Final = {"tags": "tags", "tags-any": "tags_any", "not-tags": "not_tags", "not-tags-any": "not_tags_any"}
_REFUSED: Final = frozenset(
    {"block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices"}
)
# Valid in Nova's eyes, and ignored by it (SERVER_LIST_IGNORE_SORT_KEY), or about what is not kept here.
_IGNORED_SORT_KEYS: Final = frozenset(
    [
        "architecture",
        "auto_disk_config",
        "cell_name",
        "cleaned",
        "default_ephemeral_device",
        "default_swap_device",
        "deleted",
        "deleted_at",
        "disable_terminate",
        "ephemeral_gb",
        "ephemeral_key_uuid",
        "id",
        "key_data",
        "launched_on",
        "locked",
        "locked_by",
        "memory_mb",
        "os_type",
        "reservation_id",
        "root_device_name",
        "root_gb",
        "shutdown_terminate",
        "terminated_at",
        "user_data",
        "vcpus",
        "vm_mode",
    ]
)
_ADMIN_SORT_KEYS: Final = frozenset({"host", "node"})
_TRUE: Final = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE: Final = frozenset({"0", "f", "false", "off", "n", "no"})


class _NothingMatches(Exception):
    """A filter asks for a value that no server can have."""


def server_query(request: web.Request, max_limit: int, *, is_detail: bool) -> ServerQuery | None:
    """What the url asks for; None when no server can match it. Raises Invalid and Forbidden as Nova does."""
    who = context(request)
    given = _allowed(request, who)
    wanted = page(request, max_limit)
    sort_keys, sort_dirs = _order(request, who)
    try:
        filters = _filters(given) | _statuses(request, who)
    except _NothingMatches:
        return None
    return ServerQuery(
        **{
            **filters,
            "project_id": _project(given, who, is_detail=is_detail),
            "sort_keys": sort_keys,
            "sort_dirs": sort_dirs,
            "marker": wanted.marker,
            "limit": wanted.limit,
        }
    )


def _allowed(request: web.Request, who: Context) -> dict[str, str]:
    """The filters this caller may use at this version; the last value of each counts."""
    given = dict(request.query.items())
    version = microversion(request)
    if version < (2, 26):
        given = {key: value for key, value in given.items() if key not in _TAG_FILTERS}
    refused = next((key for key in given if key in _REFUSED or key.startswith("_")), None)
    if who.is_admin:
        if refused:
            raise Invalid(reason=f"Invalid filter field: {refused}.")
        return given
    allowed = _EVERYONE | _TAG_FILTERS.keys() | ({"ip6"} if version >= (2, 5) else set())
    return {key: value for key, value in given.items() if key in allowed}


def _project(given: Mapping[str, str], who: Context, *, is_detail: bool) -> str | None:
    """Whose servers: the caller's own project's, or, for administrators who say so, everyone's or another's."""
    if "all_tenants" not in given or not _flag(given["all_tenants"] or "1"):
        return who.project_id
    admin_only(who, f"os_compute_api:servers:{'detail' if is_detail else 'index'}:get_all_tenants")
    return given.get("project_id") or given.get("tenant_id")


def _filters(given: Mapping[str, str]) -> dict[str, Any]:
    """The filters by the names they have in ServerQuery."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key in _READERS:
            name, read = _READERS[key]
            found[name] = read(key, value)
    return found


def _statuses(request: web.Request, who: Context) -> dict[str, Any]:
    """What `status`, which may be given many times, asks for."""
    asked = {status.upper() for status in request.query.getall("status", [])}
    if not asked:
        return {}
    known = tuple(sorted(asked & {state.status for state in STATES}))
    if not known:
        raise _NothingMatches
    if known == ("DELETED",):
        if not who.is_admin:
            raise HttpFault(HTTPStatus.FORBIDDEN, "Only administrators may list deleted instances")
        return {"statuses": known, "deleted": True}
    return {"statuses": known}


def _order(request: web.Request, who: Context) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sort keys and as many directions. Newest first, unless the caller says otherwise."""
    keys = [key.strip() for key in request.query.getall("sort_key", ["created_at"])]
    dirs = [direction.strip() for direction in request.query.getall("sort_dir", ["desc"])]
    for direction in dirs:
        if direction not in ("asc", "desc"):
            raise Invalid(reason=f"Unknown sort direction, must be one of: asc, desc (not {direction[:32]!r})")
    dirs += dirs[-1:] * (len(keys) - len(dirs))
    pairs = []
    for key, direction in zip(keys, dirs, strict=False):
        if key in _IGNORED_SORT_KEYS:
            continue
        if key not in SORT_KEYS:
            raise _wrong("sort_key", key, f"{key[:64]!r} is not one of {sorted(SORT_KEYS | _IGNORED_SORT_KEYS)!r}")
        if key in _ADMIN_SORT_KEYS and not who.is_admin:
            raise HttpFault(HTTPStatus.FORBIDDEN, f"Only administrators can sort servers by {key}")
        pairs.append((key, direction))
    return tuple(key for key, _ in pairs), tuple(direction for _, direction in pairs)


def _text(_key: str, value: str) -> str:
    return value


def _pattern(key: str, value: str) -> str:
    """A regular expression. An empty one is none, as in Nova."""
    try:
        compiled = re.compile(value)
    except re.error:
        compiled = None
    if not value or compiled is None:
        raise _wrong(key, value, f"{value[:64]!r} is not a 'regex'")
    return value


def _moment(key: str, value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(key, value, f"{value[:64]!r} is not a 'date-time'") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _one(_key: str, value: str) -> tuple[str, ...]:
    return (value,)


def _many(_key: str, value: str) -> tuple[str, ...]:
    return tuple(part for part in value.split(",") if part)


def _is_deleted(_key: str, value: str) -> bool:
    """What is no boolean means no, as in Nova."""
    return value.lower() in _TRUE


def _is_true(_key: str, value: str) -> bool:
    return _flag(value)


def _vm(_key: str, value: str) -> Vm:
    return _known(lambda: Vm(value))


def _task(_key: str, value: str) -> Task:
    return _known(lambda: Task("" if value.lower() == "none" else value))


def _power(_key: str, value: str) -> Power:
    return _known(lambda: Power(int(value)))


def _number(_key: str, value: str) -> int:
    return _known(lambda: int(value[:9]))


def _known(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError:
        raise _NothingMatches from None


def _flag(value: str) -> bool:
    if value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    accepted = ", ".join(repr(one) for one in sorted(_TRUE | _FALSE))
    raise Invalid(
        reason=f"Invalid input received: Unrecognized value '{value[:64]}', acceptable values are: {accepted}"
    )


def _wrong(key: str, value: str, said: str) -> Invalid:
    return Invalid(reason=f"Invalid input for query parameters {key}. Value: {value[:64]}. {said}")


_READERS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "reservation_id": ("reservation_id", _text),
    "name": ("name", _pattern),
    "display_name": ("name", _pattern),
    "image": ("image_id", _text),
    "image_ref": ("image_id", _text),
    "flavor": ("flavor_id", _text),
    "ip": ("ip", _pattern),
    "ip6": ("ip", _pattern),
    "changes-since": ("changes_since", _moment),
    "uuid": ("ids", _one),
    "user_id": ("user_id", _text),
    "host": ("host", _text),
    "node": ("host", _text),
    "hostname": ("hostname", _text),
    "availability_zone": ("availability_zone", _text),
    "key_name": ("key_name", _text),
    "description": ("description", _text),
    "display_description": ("description", _text),
    "access_ip_v4": ("access_ipv4", _text),
    "access_ip_v6": ("access_ipv6", _text),
    "config_drive": ("has_config_drive", _is_true),
    "launch_index": ("launch_index", _number),
    "vm_state": ("vm", _vm),
    "task_state": ("task", _task),
    "power_state": ("power", _power),
    "deleted": ("deleted", _is_deleted),
    **{key: (name, _many) for key, name in _TAG_FILTERS.items()},
}
