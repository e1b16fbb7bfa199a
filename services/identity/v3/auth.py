"""/v3/auth: tokens, and what their owner may do with them (keystone/api/auth.py)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from novaflow.db.identity_logins import Wanted, WantedScope
from novaflow.errors import Forbidden, Invalid, NotFound, Unauthorized
from novaflow.identity.catalogue import v3_catalogue
from novaflow.identity.models import Claims
from novaflow.models import ADMIN_ROLE
from services.identity.access import claims_of, is_service, subject_of
from services.identity.authority import Authority, Issued
from services.identity.bodies import Field, a_text, an_object, check, missing, read_object
from services.identity.links import base_url, listed, with_link
from services.identity.v3.views import domain_view, project_view
from services.web import SPAN, json_response

_METHODS: Final = ("password", "token")
_IDENTITY: Final = {"methods": Field("array", required=True)}


class Auth:
    """The tokens."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        return (
            web.post("/v3/auth/tokens", self.issue),
            web.get("/v3/auth/tokens", self.show),
            web.delete("/v3/auth/tokens", self.revoke),
            web.get("/v3/auth/catalog", self.catalogue),
            web.get("/v3/auth/projects", self.projects),
            web.get("/v3/auth/domains", self.domains),
            web.get("/v3/auth/system", self.system),
        )

    async def issue(self, request: web.Request) -> web.Response:
        """A token for a password or for another token."""
        issued = await self._issue(await read_object(request))
        request[SPAN].attributes["audit_id"] = issued.claims.audit_ids[0]
        return self._show(request, issued.token, issued.claims, 201)

    async def show(self, request: web.Request) -> web.Response:
        """What a token says: one's own, or any for a service."""
        subject = self._subject(request, "validate_token")
        return self._show(request, request.headers["X-Subject-Token"], subject, 200)

    async def revoke(self, request: web.Request) -> web.Response:
        """End a token."""
        await self._authority.revoke(self._subject(request, "revoke_token"))
        return web.Response(status=204)

    async def catalogue(self, request: web.Request) -> web.Response:
        """The services of the asker's project."""
        claims = claims_of(request)
        if claims.project is None:
            raise Forbidden(rule="identity:get_auth_catalog")
        links = {"next": None, "self": f"{base_url(request)}/v3/auth/catalog", "previous": None}
        return json_response({"catalog": self._authority.catalogue(claims, v3_catalogue), "links": links})

    async def projects(self, request: web.Request) -> web.Response:
        """Projects the asker may get a token for."""
        found = await self._authority.records.grants.projects_of(claims_of(request).user.id)
        views = [with_link(request, "projects", project_view(project)) for project in found if project.enabled]
        return json_response(listed(request, "projects", views))

    async def domains(self, request: web.Request) -> web.Response:
        """Domains the asker may get a token for."""
        found = await self._authority.records.grants.domains_of(claims_of(request).user.id)
        views = [with_link(request, "domains", domain_view(domain)) for domain in found if domain.enabled]
        return json_response(listed(request, "domains", views))

    async def system(self, request: web.Request) -> web.Response:
        """Whether the asker may get a token for the system."""
        grants = await self._authority.records.grants.of_user(claims_of(request).user.id)
        found = [{"all": True}] if any(grant.target_kind == "system" for grant in grants) else []
        return json_response({"system": found, "links": {"self": f"{base_url(request)}/v3/auth/system"}})

    async def _issue(self, body: Mapping[str, Any]) -> Issued:
        if not body.get("auth"):
            raise missing("auth", "request body")
        auth = an_object(body, "auth")
        if "identity" not in auth:
            raise Invalid(reason="'identity' is a required property")
        identity = an_object(auth, "identity")
        check(identity, _IDENTITY, is_new=True)
        methods = (
            tuple(dict.fromkeys(identity["methods"])) if all(isinstance(m, str) for m in identity["methods"]) else ()
        )
        scope = _scope(auth)
        for method in methods:
            if method not in identity:
                raise missing(method, "identity")
        if not methods or any(method not in _METHODS for method in methods):
            raise Unauthorized
        if methods == ("password",):
            user = an_object(an_object(identity, "password"), "user")
            if not user:
                raise missing("user", "password")
            return await self._authority.log_in(
                _wanted(user, "identity/password/user", "user"), a_text(user, "password") or "", scope
            )
        if methods == ("token",):
            token = a_text(an_object(identity, "token"), "id")
            if token is None:
                raise Invalid(reason="'id' is a required property")
            return await self._authority.rescope(token, scope)
        raise Unauthorized

    def _subject(self, request: web.Request, rule: str) -> Claims:
        """The token a request is about, if the asker may deal with it."""
        if "X-Subject-Token" not in request.headers:
            raise missing("X-Subject-Token", "request header")
        asker, subject = claims_of(request), subject_of(request)
        may = is_service(asker) if rule == "validate_token" else asker.has_role(ADMIN_ROLE)
        if not may and (subject is None or subject.user.id != asker.user.id):
            raise Forbidden(rule=f"identity:{rule}")
        if subject is None:
            raise NotFound(kind="token", key="***")
        return subject

    def _show(self, request: web.Request, token: str, claims: Claims, status: int) -> web.Response:
        view = token_view(claims)
        if claims.is_scoped and "nocatalog" not in request.query:
            view["catalog"] = self._authority.catalogue(claims, v3_catalogue)
        return json_response({"token": view}, status, {"X-Subject-Token": token})


def token_view(claims: Claims) -> dict[str, Any]:
    """A token without its catalogue (keystone/common/render_token.py)."""
    view: dict[str, Any] = {
        "methods": claims.methods,
        "user": {
            "domain": claims.user.domain,
            "id": claims.user.id,
            "name": claims.user.name,
            "password_expires_at": None,
        },
        "audit_ids": claims.audit_ids,
        "expires_at": stamp(claims.expires_at),
        "issued_at": stamp(claims.issued_at),
    }
    if claims.project:
        view |= {"project": claims.project, "is_domain": False}
    if claims.domain:
        view["domain"] = claims.domain
    if claims.is_system:
        view["system"] = {"all": True}
    if claims.is_scoped:
        view["roles"] = claims.roles
    return view


def stamp(moment: datetime) -> str:
    """A time as tokens show it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _scope(auth: Mapping[str, Any]) -> WantedScope:
    scope = auth.get("scope")
    if scope is None:
        return WantedScope(by_default=True)
    if scope == "unscoped":
        return WantedScope()
    asked = an_object(auth, "scope")
    kinds = [kind for kind in ("project", "domain", "unscoped", "system", "OS-TRUST:trust") if kind in asked]
    if len(kinds) != 1:
        raise missing("system, project, domain, OS-TRUST:trust or unscoped", "scope")
    kind = kinds[0]
    if kind == "project":
        return WantedScope(project=_wanted(an_object(asked, "project"), "scope/project", "project"))
    if kind == "domain":
        return WantedScope(domain=_reference(an_object(asked, "domain"), "scope/domain"))
    if kind == "OS-TRUST:trust":
        raise NotFound(kind="trust", key=a_text(an_object(asked, kind), "id") or "")
    return WantedScope(is_system=kind == "system")


def _wanted(reference: Mapping[str, Any], field: str, target: str) -> Wanted:
    """A user or project by id, or by name within a domain."""
    found = _reference(reference, field)
    if found.id is not None:
        return found
    if "domain" not in reference:
        raise missing("domain", target)
    domain = _reference(an_object(reference, "domain"), f"{field}/domain")
    return Wanted(name=found.name, domain_id=domain.id, domain_name=domain.name)


def _reference(reference: Mapping[str, Any], field: str) -> Wanted:
    key, name = a_text(reference, "id"), a_text(reference, "name")
    if key is None and name is None:
        raise Invalid(reason=f"Invalid input for field {field}: id or name must be present.")
    return Wanted(id=key) if name is None else Wanted(name=name)
