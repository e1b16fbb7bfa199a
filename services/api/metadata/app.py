"""The metadata service as a web application: one guest's tree of facts, and EC2's session tokens (IMDSv2).

Only compute hosts are answered, which sign whose guest asks (services.guest_identity). Texts and status codes of refusals are Nova's
(nova/api/metadata/handler.py) and, of tokens, Amazon's.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from novaflow.clock import Clock
from novaflow.errors import Conflict, Invalid, NotFound
from novaflow.operations.guest_facts import GuestFactOperations
from novaflow.operations.guest_passwords import GuestPasswordOperations
from services import guest_identity
from services.api.metadata.tokens import HEADER, TTL_HEADER, is_good, make_token, read_ttl
from services.api.metadata.tree import OPENSTACK, find, is_password

_TOKEN: Final = ["latest", "api", "token"]
_READS: Final = (hdrs.METH_GET, hdrs.METH_HEAD)
_PLAIN: Final = "text/plain"
_TYPES: Final = {"json": "application/json", "user_data": "application/octet-stream"}


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What the service needs. `requires_token`: EC2's facts are told to those alone who show one."""

    facts: GuestFactOperations
    passwords: GuestPasswordOperations
    clock: Clock
    secret: bytes
    requires_token: bool


def create_app(service: Metadata, *, trace: Middleware) -> web.Application:
    """The application; `trace` sees every request first."""

    async def answer(request: web.Request) -> web.Response:
        server_id = _identified(request, service.secret)
        path = [name for name in request.path.split("/") if name]
        if path == _TOKEN:
            return _token(request, service, server_id)
        if is_password(path):
            return await _password(request, service, server_id)
        if request.method not in _READS:
            raise web.HTTPMethodNotAllowed(request.method, _READS)
        if path[:1] != [OPENSTACK]:
            _check_token(request, service, server_id)
        return await _told(service, server_id, path)

    app = web.Application(middlewares=[trace])
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", answer)
    return app


def _identified(request: web.Request, secret: bytes) -> str:
    server_id = request.headers.get(guest_identity.ID)
    if not server_id:
        raise web.HTTPBadRequest(text=f"{guest_identity.ID} header is missing from request.")
    if not guest_identity.is_signed(secret, server_id, request.headers.get(guest_identity.SIGNATURE, "")):
        raise web.HTTPForbidden(text="Invalid proxy request signature.")
    return server_id


def _token(request: web.Request, service: Metadata, server_id: str) -> web.Response:
    if request.method != hdrs.METH_PUT:
        raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_PUT])
    if hdrs.X_FORWARDED_FOR in request.headers:
        raise web.HTTPForbidden(text="A token is not for whoever is behind a proxy.")
    seconds = read_ttl(request.headers.get(TTL_HEADER, ""))
    if seconds is None:
        raise web.HTTPBadRequest(text=f"{TTL_HEADER} must be a number of seconds.")
    token = make_token(service.secret, server_id, int(service.clock.now().timestamp()) + seconds)
    return web.Response(text=token, content_type=_PLAIN, headers={TTL_HEADER: str(seconds)})


async def _password(request: web.Request, service: Metadata, server_id: str) -> web.Response:
    """Posted once, and told (nova/api/metadata/password.py)."""
    if request.method in _READS:
        return web.Response(text=await service.passwords.told(server_id), content_type=_PLAIN)
    if request.method != hdrs.METH_POST:
        raise web.HTTPBadRequest(text="GET and POST only are supported.")
    try:
        await service.passwords.posted(server_id, await request.read())
    except Conflict as error:
        raise web.HTTPConflict(text=str(error)) from None
    except Invalid as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    except NotFound:
        raise _no_server() from None
    return web.Response(content_type=_PLAIN)


def _no_server() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="There is no such server.")


def _check_token(request: web.Request, service: Metadata, server_id: str) -> None:
    """One that is shown must be good, also where none is required."""
    token = request.headers.get(HEADER)
    if token is None and not service.requires_token:
        return
    if not is_good(service.secret, server_id, token or "", service.clock.now().timestamp()):
        raise web.HTTPUnauthorized(text="A good session token is required.")


async def _told(service: Metadata, server_id: str, path: list[str]) -> web.Response:
    try:
        facts = await service.facts.get(server_id)
    except NotFound:
        raise _no_server() from None
    found = find(facts, path)
    if found is None:
        raise web.HTTPNotFound(text="There is nothing by this path.")
    kind = _TYPES.get(path[-1].rpartition(".")[2], _PLAIN) if path else _PLAIN
    return web.Response(body=found, content_type=kind, status=HTTPStatus.OK)
