"""One page of a long list: which the client wants, and where the next one is. Source: nova/api/openstack/common.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from novaflow.errors import Invalid
from services.api.openstack.frame import links


@dataclass(frozen=True, kw_only=True)
class Page:
    """At most `limit` things after the one whose id is `marker`."""

    limit: int
    marker: str | None


def page(request: web.Request, max_limit: int) -> Page:
    """The page that the query asks for; Invalid for a limit that is no number. No page is longer than `max_limit`."""
    return Page(limit=min(_number(request, "limit", max_limit), max_limit), marker=request.query.get("marker"))


def window(request: web.Request, max_limit: int) -> slice:
    """The part of a list that `limit` and `offset` ask for; Invalid for what is no number. A limit of 0 is none."""
    start = _number(request, "offset", 0)
    return slice(start, start + min(_number(request, "limit", 0) or max_limit, max_limit))


def _number(request: web.Request, name: str, default: int) -> int:
    given = request.query.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdigit():
        said = (
            f"Invalid input for query parameters {name}. Value: {given[:64]}. '{given[:64]}' does not match '^[0-9]*$'"
        )
        raise Invalid(reason=said)
    return int(given[:9])


def next_link(
    request: web.Request, shown: Sequence[object], limit: int, last_id: str, path: str
) -> list[dict[str, str]]:
    """The `<collection>_links` of a page: the next one if this is full, otherwise none. `path` is e.g. `servers/detail`."""
    if not limit or len(shown) < limit:
        return []
    query = [(key, value) for key, value in request.query.items() if key != "marker"]
    href = f"{links(request).versioned}/{path}?{urlencode([*query, ('marker', last_id)])}"
    return [{"rel": "next", "href": href}]
