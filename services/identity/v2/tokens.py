"""/v2.0/tokens (keystone/token/controllers.py of Icehouse to Pike)."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from novaflow.db.identity_logins import Wanted, WantedScope
from novaflow.errors import Forbidden, NotFound, Unauthorized
from novaflow.identity.catalogue import v2_catalogue
from novaflow.identity.models import DEFAULT_DOMAIN, Claims
from services.identity.access import claims_of, is_service
from services.identity.authority import Authority, Issued
from services.identity.bodies import a_text, an_object, missing, read_object
from services.identity.links import View
from services.identity.v2.views import require_admin, tenant_view
from services.identity.v3.auth import stamp
from services.web import SPAN, json_response


class Tokens:
    """The tokens of v2.0; the same ones as v3's, in its own words."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        return (
            web.post("/v2.0/tokens", self.issue),
            web.get("/v2.0/tokens/{token}", self.show),
            web.delete("/v2.0/tokens/{token}", self.revoke),
            web.get("/v2.0/tokens/{token}/endpoints", self.endpoints),
        )

    async def issue(self, request: web.Request) -> web.Response:
        """A token for a password or another token, for a tenant by name or id if one is named."""
        issued = await self._issue(await read_object(request))
        request[SPAN].attributes["audit_id"] = issued.claims.audit_ids[0]
        return json_response({"access": await access_view(self._authority, issued.token, issued.claims)})

    async def show(self, request: web.Request) -> web.Response:
        """What a token says, for services and administrators; `belongsTo` asks for its tenant as well."""
        if not is_service(claims_of(request)):
            raise Forbidden(rule="identity:validate_token")
        claims = await self._subject(request)
        wanted = request.query.get("belongsTo")
        if wanted and (claims.project is None or claims.project.id != wanted):
            raise Unauthorized
        return json_response({"access": await access_view(self._authority, request.match_info["token"], claims)})

    async def revoke(self, request: web.Request) -> web.Response:
        """End a token."""
        require_admin(request)
        await self._authority.revoke(await self._subject(request))
        return web.Response(status=204)

    async def endpoints(self, request: web.Request) -> web.Response:
        """The endpoints a token may use, in a flat list."""
        require_admin(request)
        claims = await self._subject(request)
        if claims.project is None:
            return json_response({})
        rights = self._authority.records.rights.newest
        facts = {"project_id": claims.project.id, "tenant_id": claims.project.id, "user_id": claims.user.id}
        found: list[Any] = v2_catalogue(rights.services, rights.endpoints, facts)
        views = [
            {**endpoint, "name": entry["name"], "type": entry["type"]}
            for entry in found
            for endpoint in entry["endpoints"]
        ]
        return json_response({"endpoints": views, "endpoints_links": []})

    async def _issue(self, body: Mapping[str, Any]) -> Issued:
        if not body.get("auth"):
            raise missing("auth", "request body")
        auth = an_object(body, "auth")
        scope = _scope(auth)
        if "token" in auth:
            token = a_text(an_object(auth, "token"), "id")
            if token is None:
                raise missing("id", "token")
            return await self._authority.rescope(token, scope)
        if "passwordCredentials" not in auth:
            raise missing("auth", "request body")
        credentials = an_object(auth, "passwordCredentials")
        password = a_text(credentials, "password")
        if password is None:
            raise missing("password", "passwordCredentials")
        return await self._authority.log_in(_user(credentials), password, scope)

    async def _subject(self, request: web.Request) -> Claims:
        (claims,) = await self._authority.validate([request.match_info["token"]])
        if claims is None:
            raise NotFound(kind="token", key="***")
        if claims.user.domain.id != DEFAULT_DOMAIN or (claims.project and claims.project.domain.id != DEFAULT_DOMAIN):
            raise Unauthorized  # v2.0 knows no other domain
        return claims


async def access_view(authority: Authority, token: str, claims: Claims) -> View:
    """A token with its catalogue, as v2.0 calls it: an access."""
    about: View = {
        "id": token,
        "issued_at": stamp(claims.issued_at),
        "expires": claims.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "audit_ids": claims.audit_ids,
    }
    if claims.project:
        about["tenant"] = tenant_view(await authority.records.projects.get(claims.project.id))
    return {
        "token": about,
        "serviceCatalog": authority.catalogue(claims, v2_catalogue) if claims.project else [],
        "user": {
            "id": claims.user.id,
            "name": claims.user.name,
            "username": claims.user.name,
            "roles": [{"name": role.name} for role in claims.roles],
            "roles_links": [],
        },
        "metadata": {"is_admin": 0, "roles": [role.id for role in claims.roles]},
    }


def _user(credentials: Mapping[str, Any]) -> Wanted:
    key, name = a_text(credentials, "userId"), a_text(credentials, "username")
    if not key and not name:
        raise missing("username or userId", "passwordCredentials")
    return Wanted(name=name, domain_id=DEFAULT_DOMAIN) if name else Wanted(id=key)


def _scope(auth: Mapping[str, Any]) -> WantedScope:
    key, name = a_text(auth, "tenantId"), a_text(auth, "tenantName")
    if key:
        return WantedScope(project=Wanted(id=key))
    if name:
        return WantedScope(project=Wanted(name=name, domain_id=DEFAULT_DOMAIN))
    return WantedScope()
