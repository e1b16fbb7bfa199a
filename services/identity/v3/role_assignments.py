"""/v3/role_assignments: every grant as one flat list (keystone/api/role_assignments.py)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from novaflow.db.identity import Identity
from novaflow.errors import Invalid
from novaflow.identity.models import SYSTEM, Grant, Group, Project, User
from novaflow.identity.roles import effective
from services.identity.access import require_admin
from services.identity.authority import Authority
from services.identity.links import View, base_url, is_set, listed
from services.web import json_response

_KINDS: Final = {"user": "users", "group": "groups", "project": "projects", "domain": "domains"}
_EXCLUSIVE: Final = (
    ("scope.domain.id", "scope.project.id", "Specify a domain or project, not both"),
    ("scope.domain.id", "scope.system", "Specify system or domain, not both"),
    ("scope.project.id", "scope.system", "Specify system or project, not both"),
    ("user.id", "group.id", "Specify a user or group, not both"),
)
_POINTLESS: Final = "Combining effective and group filter will always result in an empty list."


class RoleAssignments:
    """The grants, as they were made or as they work out."""

    def __init__(self, authority: Authority) -> None:
        self._records: Identity = authority.records

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        return (web.get("/v3/role_assignments", self.index),)

    async def index(self, request: web.Request) -> web.Response:
        """Grants by actor, target and role; `effective` resolves groups and implied roles, `include_names` names all."""
        require_admin(request, "list_role_assignments")
        asked = request.query
        for one, other, refusal in _EXCLUSIVE:
            if asked.get(one) and asked.get(other):
                raise Invalid(reason=refusal)
        is_effective = is_set(request, "effective")
        if is_effective and asked.get("group.id"):
            raise Invalid(reason=_POINTLESS)
        grants = await self._select(asked, is_effective=is_effective)
        names = await self._names() if is_set(request, "include_names") else None
        views = [_view(request, grant, names) for grant in grants]
        return json_response(listed(request, "role_assignments", views))

    async def _select(self, asked: Mapping[str, str], *, is_effective: bool) -> Sequence[Grant]:
        if "scope.OS-INHERIT:inherited_to" in asked:
            return []  # no grant here is inherited
        target = asked.get("scope.project.id") or asked.get("scope.domain.id")
        target = target or (SYSTEM if asked.get("scope.system") else None)
        if not is_effective:
            actor = asked.get("user.id") or asked.get("group.id")
            return await self._records.grants.all(actor_id=actor, target_id=target, role_id=asked.get("role.id"))
        found = await self._effective(await self._records.grants.all(target_id=target))
        user_id, role_id = asked.get("user.id"), asked.get("role.id")
        return [grant for grant in found if user_id in (None, grant.actor_id) and role_id in (None, grant.role_id)]

    async def _effective(self, grants: Iterable[Grant]) -> list[Grant]:
        """Grants to users alone, of every role that follows from them."""
        implications = self._records.rights.newest.implications
        found: dict[tuple[str, str, str], Grant] = {}
        for grant in grants:
            actors = [grant.actor_id]
            if grant.actor_kind == "group":
                actors = [user.id for user in await self._records.groups.members(grant.actor_id)]
            for actor_id in actors:
                for role_id in effective([grant.role_id], implications):
                    found[actor_id, grant.target_id, role_id] = Grant(
                        actor_kind="user",
                        actor_id=actor_id,
                        target_kind=grant.target_kind,
                        target_id=grant.target_id,
                        role_id=role_id,
                    )
        return list(found.values())

    async def _names(self) -> dict[str, View]:
        """Every id with its name and its domain's."""
        records = self._records
        domains = {domain.id: {"id": domain.id, "name": domain.name} for domain in await records.domains.all()}
        names: dict[str, View] = dict(domains)
        users, groups, projects = await records.users.all(), await records.groups.all(), await records.projects.all()
        owned_by_domains: list[User | Group | Project] = [*users, *groups, *projects]
        for owned in owned_by_domains:
            names[owned.id] = {"id": owned.id, "name": owned.name, "domain": domains.get(owned.domain_id)}
        for role in await records.roles.all():
            domain = {"domain": domains.get(role.domain_id)} if role.domain_id else {}
            names[role.id] = {"id": role.id, "name": role.name, **domain}
        return names


def _view(request: web.Request, grant: Grant, names: Mapping[str, View] | None) -> dict[str, Any]:
    def reference(key: str) -> View:
        return names.get(key, {"id": key}) if names else {"id": key}

    actor = f"{_KINDS[grant.actor_kind]}/{grant.actor_id}"
    if grant.target_kind == SYSTEM:
        scope: View = {"system": {"all": True}}
        target = SYSTEM
    else:
        scope = {grant.target_kind: reference(grant.target_id)}
        target = f"{_KINDS[grant.target_kind]}/{grant.target_id}"
    return {
        "links": {"assignment": f"{base_url(request)}/v3/{target}/{actor}/roles/{grant.role_id}"},
        "scope": scope,
        grant.actor_kind: reference(grant.actor_id),
        "role": reference(grant.role_id),
    }
