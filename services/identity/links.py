"""Links and lists: where a thing is found again, and how a collection is narrowed down by its query.

Links are made from the Host header, so that they lead back the way the client came.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiohttp import web

View = dict[str, Any]

_FALSE: Final = frozenset({"false", "0", "no", "off", "n", "f"})
_INEXACT: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "contains": lambda value, part: part in value,
    "startswith": str.startswith,
    "endswith": str.endswith,
}


def base_url(request: web.Request) -> str:
    """Scheme, host and port as the client used them."""
    return f"{request.scheme}://{request.host}"


def with_link(request: web.Request, collection: str, view: View) -> View:
    """A member with its own address."""
    return view | {"links": {"self": f"{base_url(request)}/v3/{collection}/{view['id']}"}}


def listed(request: web.Request, collection: str, views: Iterable[View]) -> View:
    """A whole collection; there are no further pages."""
    links = {"next": None, "self": f"{base_url(request)}{request.rel_url}", "previous": None}
    return {collection: list(views), "links": links}


def is_set(request: web.Request, name: str) -> bool:
    """Whether a flag of the query is set: there, and not 0 (keystone.server.flask.common, query_filter_is_true)."""
    return request.query.get(name, "0") != "0"


def matching(request: web.Request, views: Iterable[View], names: Iterable[str]) -> list[View]:
    """The views that the query asks for by the attributes it may filter by, exactly or like `name__icontains=x`."""
    known = frozenset(names)
    tests = [(key.partition("__"), value) for key, value in request.query.items()]
    wanted = [(name, how, value) for (name, _, how), value in tests if name in known]
    return [view for view in views if all(_answers(view.get(name), how, value) for name, how, value in wanted)]


def _answers(value: object, how: str, wanted: str) -> bool:
    if not how:
        return value == (wanted.strip().lower() not in _FALSE) if isinstance(value, bool) else value == wanted
    if not isinstance(value, str):
        return False
    if how.removeprefix("i") not in _INEXACT:
        return True
    if how.startswith("i"):
        value, wanted = value.lower(), wanted.lower()
    return _INEXACT[how.removeprefix("i")](value, wanted)
