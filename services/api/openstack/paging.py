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
    given = request.query.get("limit")
    marker = request.query.get("marker")
    if given is None:
        return Page(limit=max_limit, marker=marker)
    if not given.isascii() or not given.isdigit():
        said = (
            f"Invalid input for query parameters limit. Value: {given[:64]}. '{given[:64]}' does not match '^[0-9]*$'"
        )
        raise Invalid(reason=said)
    return Page(limit=min(int(given[:9]), max_limit), marker=marker)


def next_link(
    request: web.Request, shown: Sequence[object], limit: int, last_id: str, path: str
) -> list[dict[str, str]]:
    """The `<collection>_links` of a page: the next one if this is full, otherwise none. `path` is e.g. `servers/detail`."""
    if not limit or len(shown) < limit:
        return []
    query = [(key, value) for key, value in request.query.items() if key != "marker"]
    href = f"{links(request).versioned}/{path}?{urlencode([*query, ('marker', last_id)])}"
    return [{"rel": "next", "href": href}]
