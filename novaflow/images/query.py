"""What a client asks of the image list: filters, order and page, checked before the database sees them.

The words and the refusals are Glance's (glance/api/v2/images.py and glance/db/sqlalchemy/api.py).
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from novaflow.errors import Invalid
from novaflow.images.image import Visibility
from novaflow.models import Value

SORT_KEYS: Final = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)
_DIRECTIONS: Final = ("asc", "desc")
_IN_COLUMNS: Final = frozenset({"name", "id", "status", "container_format", "disk_format"})
_TEXT_COLUMNS: Final = frozenset({"owner", "checksum", "os_hash_value", "os_hash_algo"})
_NUMBER_COLUMNS: Final = frozenset({"size", "virtual_size", "min_disk", "min_ram"})
_TIME_COLUMNS: Final = frozenset({"created_at", "updated_at"})
_COMPARISONS: Final = frozenset({"gt", "gte", "lt", "lte", "neq", "eq"})
_MEMBER_STATUSES: Final = ("pending", "accepted", "rejected", "all")
_QUOTED: Final = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)",?|([^,]+),?|,')
_TRUTHS: Final = {"true": True, "false": False}
_DEFAULT_LIMIT: Final = 25
_MAX_LIMIT: Final = 1000


class Filter(Value, frozen=True, kw_only=True):
    """One condition on a column: `operator` is eq, neq, gt, gte, lt, lte or in (then `value` is a tuple)."""

    column: str
    operator: str
    value: Any


class ImageQuery(Value, frozen=True, kw_only=True):
    """One page of images. `project_id` is the viewer's; an admin sees every project's images."""

    project_id: str
    is_admin: bool = False
    visibility: str | None = None  # `all` for every one the viewer may see
    member_status: str = "accepted"
    filters: tuple[Filter, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    order: tuple[tuple[str, str], ...] = (("created_at", "desc"), ("id", "desc"))
    limit: int = _DEFAULT_LIMIT
    marker: str | None = None


def parse(pairs: Iterable[tuple[str, str]], *, project_id: str, is_admin: bool) -> ImageQuery:
    """The query that the parameters of a URL mean. Raises Invalid naming the parameter."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    tags = tuple(tag.strip() for tag in given.pop("tag", []))
    order = _order(given)
    plain = {name: values[-1] for name, values in given.items()}
    limit = _limit(plain.pop("limit", str(_DEFAULT_LIMIT)))
    marker = plain.pop("marker", None)
    member_status = _one_of(plain.pop("member_status", "accepted"), _MEMBER_STATUSES, "Invalid status: {}")
    visibility = plain.pop("visibility", "") or None
    if visibility:
        _one_of(visibility, (*Visibility, "all"), "Invalid visibility value: {}")
    if plain.get("changes-since"):
        raise Invalid(reason='The "changes-since" filter is no longer available on v2.')
    plain.setdefault("os_hidden", "false")
    filters, properties = _conditions(plain)
    return ImageQuery(
        project_id=project_id,
        is_admin=is_admin,
        visibility=visibility,
        member_status=member_status,
        filters=filters,
        properties=properties,
        tags=tags,
        order=order,
        limit=limit,
        marker=marker,
    )


def _one_of(value: str, allowed: Iterable[str], refusal: str) -> str:
    if value not in allowed:
        raise Invalid(reason=refusal.format(value))
    return value


def _limit(text: str) -> int:
    try:
        limit = int(text)
    except ValueError:
        raise Invalid(reason="limit param must be an integer") from None
    if limit < 0:
        raise Invalid(reason="limit param must be positive")
    return min(limit, _MAX_LIMIT)


def _order(given: dict[str, list[str]]) -> tuple[tuple[str, str], ...]:
    """`sort=key:dir,...` or repeated sort_key and sort_dir; created_at and id make every order total."""
    combined, keys, directions = given.pop("sort", None), given.pop("sort_key", []), given.pop("sort_dir", [])
    if combined:
        if keys or directions:
            raise Invalid(reason="Old and new sorting syntax cannot be combined")
        parts = [part.partition(":") for part in combined[-1].strip().split(",")]
        keys = [key for key, _, _ in parts]
        directions = [direction or "desc" for _, _, direction in parts]
    keys = [_sort_key(key.strip()) for key in keys] or ["created_at"]
    directions = [_one_of(each.strip(), _DIRECTIONS, "Invalid sort direction: {}") for each in directions] or ["desc"]
    if len(directions) > 1 and len(directions) != len(keys):
        raise Invalid(reason="Number of sort dirs does not match the number of sort keys")
    default = directions[0] if len(directions) == 1 else "desc"
    directions = directions * len(keys) if len(directions) == 1 else directions
    order = dict(zip(keys, directions, strict=True))
    return tuple({**order, **{key: default for key in ("created_at", "id") if key not in order}}.items())


def _sort_key(key: str) -> str:
    return _one_of(key, SORT_KEYS, f"Invalid sort key: {{}}. It must be one of the following: {', '.join(SORT_KEYS)}.")


def _conditions(plain: dict[str, str]) -> tuple[tuple[Filter, ...], tuple[tuple[str, str], ...]]:
    """Conditions on columns, and on the properties that are whatever else is asked for."""
    filters: list[Filter] = []
    properties: list[tuple[str, str]] = []
    for name, text in plain.items():
        read = _reader(name)
        if read is None:
            properties.append((name, text))
        else:
            filters.append(read(name, text))
    return tuple(filters), tuple(properties)


def _reader(name: str) -> Callable[[str, str], Filter] | None:
    readers: tuple[tuple[frozenset[str], Callable[[str, str], Filter]], ...] = (
        (_IN_COLUMNS, _listed),
        (_TEXT_COLUMNS, lambda column, text: Filter(column=column, operator="eq", value=text)),
        (_NUMBER_COLUMNS, lambda column, text: Filter(column=column, operator="eq", value=_number(text))),
        (_TIME_COLUMNS, _moment),
        (frozenset({"os_hidden", "protected"}), _truth),
        (frozenset(f"{column}{end}" for column in _NUMBER_COLUMNS for end in ("_min", "_max")), _range),
    )
    return next((read for names, read in readers if name in names), None)


def _truth(column: str, text: str) -> Filter:
    value = _TRUTHS.get(text.lower())
    if value is None:
        raise Invalid(reason=f"Invalid value '{text}' for '{column}' filter. Valid values are 'true' or 'false'.")
    return Filter(column=column, operator="eq", value=value)


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise Invalid(reason="Unable to filter on a range with a non-numeric value.") from None
    return max(-(2**63), min(number, 2**63 - 1))


def _range(name: str, text: str) -> Filter:
    return Filter(column=name[:-4], operator="gte" if name.endswith("_min") else "lte", value=_number(text))


def _listed(column: str, text: str) -> Filter:
    operator, colon, rest = text.partition(":")
    if not colon:
        return Filter(column=column, operator="eq", value=text)
    if operator == "eq":
        return Filter(column=column, operator="eq", value=rest)
    if operator != "in":
        raise Invalid(reason=f"Unable to filter by unknown operator '{operator}'.")
    if len(re.findall(r'(?<!\\)"', rest)) % 2:
        raise Invalid(reason=f"Invalid filter value {rest}. The quote is not closed.")
    values = tuple(quoted or bare for quoted, bare in _QUOTED.findall(rest))
    return Filter(column=column, operator="in", value=values)


def _moment(column: str, text: str) -> Filter:
    operator, colon, rest = text.partition(":")
    if not colon or operator not in _COMPARISONS:
        operator, rest = "eq", text
    try:
        moment = datetime.fromisoformat(rest)
    except ValueError:
        if colon and operator == "eq" and not text[:1].isdigit():
            raise Invalid(reason="Unable to filter on a unknown operator.") from None
        raise Invalid(reason=f'Bad "{column}" query filter format. Use ISO 8601 DateTime notation.') from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Filter(column=column, operator=operator, value=moment)
