"""The web application: every resource of both versions behind the same doors."""

from aiohttp import web

from rpc.tracing import Tracer
from services.identity import discovery
from services.identity.access import access
from services.identity.authority import Authority
from services.identity.bodies import MAX_BODY
from services.identity.ec2_keys import Ec2Keys
from services.identity.faults import faults
from services.identity.v2 import ec2 as v2_ec2
from services.identity.v2 import endpoints as v2_endpoints
from services.identity.v2 import extensions as v2_extensions
from services.identity.v2 import roles as v2_roles
from services.identity.v2 import services as v2_services
from services.identity.v2 import tenants as v2_tenants
from services.identity.v2 import tokens as v2_tokens
from services.identity.v2 import users as v2_users
from services.identity.v3.auth import Auth
from services.identity.v3.domains import Domains
from services.identity.v3.ec2 import Ec2
from services.identity.v3.endpoints import Endpoints
from services.identity.v3.grants import Grants
from services.identity.v3.groups import Groups
from services.identity.v3.project_tags import ProjectTags
from services.identity.v3.projects import Projects
from services.identity.v3.regions import Regions
from services.identity.v3.role_assignments import RoleAssignments
from services.identity.v3.roles import Roles
from services.identity.v3.services import Services
from services.identity.v3.users import Users
from services.web import traced

_V3 = (
    Auth,
    Domains,
    Projects,
    ProjectTags,
    Users,
    Groups,
    Roles,
    Grants,
    RoleAssignments,
    Services,
    Endpoints,
    Regions,
)
_V2 = (v2_tokens.Tokens, v2_users.Users, v2_roles.Roles, v2_services.Services, v2_endpoints.Endpoints)


def build(authority: Authority, ec2_keys: Ec2Keys, tracer: Tracer, *, is_admin_port: bool) -> web.Application:
    """An application for one port; on the admin port v2.0 answers as its admin API."""
    app = web.Application(middlewares=[traced(tracer), faults, access(authority)], client_max_size=MAX_BODY)
    app.add_routes(discovery.routes())
    for resource in _V3:
        app.add_routes(resource(authority).routes())
    for old_resource in _V2:
        app.add_routes(old_resource(authority).routes())
    app.add_routes(v2_tenants.Tenants(authority, lists_all=is_admin_port).routes())
    app.add_routes(v2_extensions.routes())
    for signing in (Ec2, v2_ec2.Ec2):
        app.add_routes(signing(authority, ec2_keys).routes())
    return app
