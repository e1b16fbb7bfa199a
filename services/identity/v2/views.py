"""Records as v2.0 shows them: no domains, a user's project is its tenantId, and its name is shown twice."""

from aiohttp import web

from novaflow.errors import Forbidden
from novaflow.identity.models import Claims, Project, Role, User
from novaflow.models import ADMIN_ROLE
from services.identity.access import claims_of
from services.identity.links import View


def require_admin(request: web.Request) -> Claims:
    """The asker, if it is an administrator; else raises Forbidden in v2.0's words."""
    claims = claims_of(request)
    if not claims.has_role(ADMIN_ROLE):
        raise Forbidden(rule="admin_required")
    return claims


def tenant_view(project: Project) -> View:
    """A project as a tenant."""
    return project.extra | {
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "enabled": project.enabled,
    }


def user_view(user: User) -> View:
    """A user."""
    view: View = user.extra | {"id": user.id, "name": user.name, "username": user.name, "enabled": user.enabled}
    return view | ({"tenantId": user.default_project_id} if user.default_project_id else {})


def role_view(role: Role) -> View:
    """A role."""
    return role.extra | {"id": role.id, "name": role.name}
