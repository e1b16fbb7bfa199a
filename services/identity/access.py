"""Who asks: the token of a request is validated before any handler sees it.

The token a request asks about (X-Subject-Token) is looked up in the same statement as its own.
"""

import re
from typing import Final

from aiohttp import web

from novaflow.errors import Forbidden, Protected, Unauthorized
from novaflow.identity.models import Claims
from novaflow.identity.roles import SERVICE_ROLE
from novaflow.models import ADMIN_ROLE
from services.identity.authority import EC2_METHOD, Authority
from services.web import SPAN, Handler, Middleware

_CLAIMS: Final = web.RequestKey("claims", Claims)
_SUBJECT: Final = web.RequestKey("subject", Claims)

_TOKEN_IN_PATH: Final = re.compile(r"(/tokens/+)[^/]+")  # v2.0 has the token in the address; no trace may
_PUBLIC: Final = frozenset(
    {
        ("POST", "/v3/auth/tokens"),
        ("POST", "/v2.0/tokens"),
    }
)


def access(authority: Authority) -> Middleware:
    """A middleware that lets only valid tokens through to what is not public."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[SPAN].name = _TOKEN_IN_PATH.sub(r"\1***", request[SPAN].name)
        if not _is_public(request):
            await _identify(request, authority)
        return await handler(request)

    return middleware


def claims_of(request: web.Request) -> Claims:
    """What the asker's token says."""
    return request[_CLAIMS]


def subject_of(request: web.Request) -> Claims | None:
    """What the token says that is asked about; None if it is not valid."""
    return request.get(_SUBJECT)


def require_admin(request: web.Request, rule: str) -> Claims:
    """The asker, if it is an administrator; else raises Forbidden."""
    claims = claims_of(request)
    if not claims.has_role(ADMIN_ROLE):
        raise Forbidden(rule=f"identity:{rule}")
    return claims


def require_admin_or(request: web.Request, rule: str, *, is_own: bool) -> Claims:
    """The asker, if it is an administrator or asks for what is its own; else raises Forbidden."""
    return claims_of(request) if is_own else require_admin(request, rule)


def is_service(claims: Claims) -> bool:
    """May look into other users' tokens, as services must (keystone's service_or_admin)."""
    return claims.has_role(ADMIN_ROLE) or claims.has_role(SERVICE_ROLE)


async def _identify(request: web.Request, authority: Authority) -> None:
    token = request.headers.get("X-Auth-Token", "")
    subject = request.headers.get("X-Subject-Token", "")
    claims, about = await authority.validate([token, subject])
    if claims is None:
        raise Unauthorized
    if EC2_METHOD in claims.methods:  # it is for the other services: keystone/server/flask/.../auth_context.py
        raise Protected(reason="EC2 credential tokens cannot be used for authorization.")
    request[_CLAIMS] = claims
    if about is not None:
        request[_SUBJECT] = about


def _is_public(request: web.Request) -> bool:
    path = request.path.rstrip("/")
    if (request.method, path) in _PUBLIC or path in ("", "/v3", "/v2.0"):
        return True
    if request.match_info.http_exception is not None or path.startswith("/v2.0/extensions"):
        return True
    is_own_password = path.startswith("/v3/users/") and path.endswith("/password")
    return is_own_password and request.method == "POST"
