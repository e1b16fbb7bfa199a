"""The identity service's other end: how nova-api and the image service find out who asks.

A token is looked up by HTTP with the services' own token, as keystonemiddleware does it, and what it says is believed for a few
seconds. Many requests with one token ask once. A token that was ended is refused at the latest when its time in
the cache is over.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec
from aiohttp import web

from novaflow.clock import Clock
from novaflow.errors import ServiceUnavailable, Unauthorized
from novaflow.identity.credentials import Credentials, read
from novaflow.identity.tokens import digest
from novaflow.models import Context
from rpc.tracing import Tracer
from services.runtime import Runtime
from services.web import CONTEXT, REQUEST_ID, SPAN, Handler, Middleware, json_response, onward

_DEADLINE: Final = 5.0  # seconds for one question to the identity service
_TRIES: Final = 2  # a kept connection may have been closed by the other side
_KEPT_TOKENS: Final = 4096
_LONGEST_TOKEN: Final = 8192  # characters; Keystone's max_token_size
_REFUSED_SECONDS: Final = 2.0  # how long a refusal is believed
_RENEWAL_MARGIN: Final = 60.0  # seconds before its end that the services' token is replaced
_TOKENS: Final = "/v3/auth/tokens"

_UNAUTHORIZED: Final = "The request you have made requires authentication."
_UNAVAILABLE: Final = "The Keystone service is temporarily unavailable."
_NO_PROJECT: Final = "A token scoped to a project is required."

log = logging.getLogger(__name__)


class _Named(msgspec.Struct, frozen=True):
    id: str
    name: str


class _Token(msgspec.Struct, frozen=True, kw_only=True):
    user: _Named
    expires_at: datetime
    audit_ids: tuple[str, ...]
    project: _Named | None = None
    roles: tuple[_Named, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    token: _Token


class _Kept(msgspec.Struct, frozen=True):
    """What is believed of a token (None: it is not valid) until `until`, by the monotonic clock."""

    token: _Token | None
    until: float


class IdentityClient:
    """Asks the identity service. Raises ServiceUnavailable when it does not answer in time."""

    def __init__(self, http: aiohttp.ClientSession, url: str, tracer: Tracer) -> None:
        self.url = url
        self._http = http
        self._tracer = tracer

    async def ask(
        self, method: str, headers: dict[str, str], body: bytes | None = None, query: str = "", path: str = _TOKENS
    ) -> tuple[int, bytes, str]:
        """Status, body and X-Subject-Token of the answer to a question about a token, or about what is good for one."""
        with self._tracer.span("http.client", f"{method} identity {path}") as span:
            try:
                async with asyncio.timeout(_DEADLINE):
                    status, answer, token = await self._try(method, headers | onward(), body, path + query)
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                raise ServiceUnavailable(service="identity", reason=type(error).__name__) from error
            span.attributes["status"] = status
            return status, answer, token

    async def _try(self, method: str, headers: dict[str, str], body: bytes | None, url: str) -> tuple[int, bytes, str]:
        for left in reversed(range(_TRIES)):
            try:
                return await self._once(method, headers, body, url)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    async def _once(self, method: str, headers: dict[str, str], body: bytes | None, url: str) -> tuple[int, bytes, str]:
        sent = headers | {"Accept": "application/json", "Content-Type": "application/json"}
        async with self._http.request(method, self.url + url, headers=sent, data=body) as response:
            return response.status, await response.read(), response.headers.get("X-Subject-Token", "")


class ServiceToken:
    """The services' own token: asked for when first needed, replaced before it ends."""

    def __init__(self, client: IdentityClient, credentials: Callable[[], Credentials], clock: Clock) -> None:
        self._client = client
        self._credentials = credentials
        self._clock = clock
        self._token = ""
        self._renewal: datetime | None = None
        self._turn = asyncio.Lock()

    async def get(self) -> str:
        """A token that is valid for a while. Raises ServiceUnavailable."""
        async with self._turn:
            if self._renewal is None or self._clock.now() >= self._renewal:
                self._token, expires_at = await self._log_in()
                life = (expires_at - self._clock.now()).total_seconds()
                self._renewal = expires_at - timedelta(seconds=min(_RENEWAL_MARGIN, life / 2))
            return self._token

    def forget(self, token: str) -> None:
        """The identity service refused that token: ask for another one next time."""
        if token == self._token:
            self._renewal = None

    async def _log_in(self) -> tuple[str, datetime]:
        status, answer, token = await self._client.ask("POST", {}, _login(self._credentials()), "?nocatalog")
        if status != HTTPStatus.CREATED or not token:
            raise ServiceUnavailable(service="identity", reason=f"it answered {status} to the services' own login")
        return token, _decoded(answer).expires_at


class TokenVerifier:
    """Says who a token belongs to."""

    def __init__(
        self,
        client: IdentityClient,
        service: ServiceToken,
        clock: Clock,
        cache_seconds: float,
        kept_tokens: int = _KEPT_TOKENS,
    ) -> None:
        self.url = client.url
        self._client = client
        self._service = service
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._kept_tokens = kept_tokens
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._asking: dict[str, asyncio.Task[_Token | None]] = {}

    async def verify(self, token: str, request_id: str) -> Context | None:
        """The context of a request with this token; None if it is good for no project.

        Raises Unauthorized for a token that is not valid, ServiceUnavailable when that cannot be found out.
        """
        if not _could_be_one(token):
            raise Unauthorized
        found = await self._find(token, digest(token))
        if found is None or found.expires_at <= self._clock.now():
            raise Unauthorized
        return _context(found, token, request_id)

    async def _find(self, token: str, key: str) -> _Token | None:
        kept = self._kept.get(key)
        if kept is not None and self._clock.monotonic() < kept.until:
            self._kept.move_to_end(key)
            return kept.token
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._learn(token, key), name="verify token")
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._settle(key, task))
        # Shielded: one asker that goes away must not take the answer from the others.
        return await asyncio.shield(asking)

    async def _learn(self, token: str, key: str) -> _Token | None:
        found = await self._ask(token)
        seconds = self._cache_seconds if found else min(_REFUSED_SECONDS, self._cache_seconds)
        self._kept[key] = _Kept(found, self._clock.monotonic() + seconds)
        self._kept.move_to_end(key)
        while len(self._kept) > self._kept_tokens:
            self._kept.popitem(last=False)
        return found

    def _settle(self, key: str, task: asyncio.Task[_Token | None]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # every asker may have gone away: then no one else looks

    async def _ask(self, token: str) -> _Token | None:
        """The identity service's word; the services' token is replaced once if that is what it refuses."""
        status = 0
        for _ in range(_TRIES):
            mine = await self._service.get()
            headers = {"X-Auth-Token": mine, "X-Subject-Token": token}
            status, answer, _token = await self._client.ask("GET", headers, query="?nocatalog")
            if status == HTTPStatus.OK:
                return _decoded(answer)
            if status == HTTPStatus.NOT_FOUND:
                return None
            if status != HTTPStatus.UNAUTHORIZED:
                break
            self._service.forget(mine)
        raise ServiceUnavailable(service="identity", reason=f"it answered {status} to a question about a token")


def context_of(answer: bytes, token: str, request_id: str) -> Context | None:
    """The context of a request by whoever `token` is for, as the identity service shows it; None if it is good for no project.

    Raises ServiceUnavailable for an answer that shows no token.
    """
    return _context(_decoded(answer), token, request_id)


def service_token(runtime: Runtime, client: IdentityClient) -> ServiceToken:
    """The services' own token, with the credentials that are in the state directory."""
    config = runtime.config
    return ServiceToken(client, lambda: read(runtime.state_dir, config.identity.service_project), runtime.clock)


def token_verifier(runtime: Runtime, tracer: Tracer) -> TokenVerifier:
    """A verifier with what a process has: its HTTP client, its clock, its state directory and its settings."""
    config = runtime.config
    client = IdentityClient(runtime.http, config.identity_url, tracer)
    return TokenVerifier(client, service_token(runtime, client), runtime.clock, config.api.token_cache_seconds)


def authenticated(verifier: TokenVerifier, *, public: Callable[[web.Request], bool]) -> Middleware:
    """A middleware that puts the asker's Context into request[CONTEXT]; what is `public` needs none.

    Without a valid token the answer is 401, without the identity service 503, with a token for no project 403.
    """
    is_away = False  # said once, not at every request

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal is_away
        if public(request):
            return await handler(request)
        token = request.headers.get("X-Auth-Token") or request.headers.get("X-Storage-Token")
        try:
            context = await verifier.verify(token, request[REQUEST_ID]) if token else None
        except ServiceUnavailable as error:
            if not is_away:
                log.warning("requests are refused: %s", error)
            is_away = True
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, _UNAVAILABLE)
        except Unauthorized:
            token = None
        else:
            is_away = is_away and not token
        if not token:
            response = _refusal(HTTPStatus.UNAUTHORIZED, _UNAUTHORIZED)
            response.headers["WWW-Authenticate"] = f'Keystone uri="{verifier.url}"'
            return response
        if context is None:
            return _refusal(HTTPStatus.FORBIDDEN, _NO_PROJECT)
        request[CONTEXT] = context
        request[SPAN].attributes["audit_id"] = context.audit_id
        return await handler(request)

    return middleware


def _could_be_one(token: str) -> bool:
    """Can be sent in a header at all; what cannot is no token of any kind."""
    return token.isascii() and token.isprintable() and len(token) <= _LONGEST_TOKEN


def _refusal(status: HTTPStatus, message: str) -> web.Response:
    return json_response({"error": {"code": int(status), "title": status.phrase, "message": message}}, int(status))


def _login(credentials: Credentials) -> bytes:
    domain = {"id": "default"}
    user = {"name": credentials.username, "domain": domain, "password": credentials.password}
    scope = {"project": {"name": credentials.project, "domain": domain}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return msgspec.json.encode({"auth": {"identity": identity, "scope": scope}})


def _context(found: _Token, token: str, request_id: str) -> Context | None:
    if found.project is None:
        return None
    return Context(
        request_id=request_id,
        user_id=found.user.id,
        user_name=found.user.name,
        project_id=found.project.id,
        project_name=found.project.name,
        roles=tuple(role.name for role in found.roles),
        token=token,
        audit_id=found.audit_ids[0] if found.audit_ids else "",
    )


def _decoded(answer: bytes) -> _Token:
    try:
        return msgspec.json.decode(answer, type=_Answer).token
    except msgspec.DecodeError as error:
        raise ServiceUnavailable(service="identity", reason="its answer is not a token") from error
