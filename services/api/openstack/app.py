"""The OpenStack Compute API as one web application: every resource, under every form of url.

The same resources answer below /v2.1 and /v2, each with and without the project in the path. /v2 is the legacy form: it
knows no microversions. Source: nova/api/openstack/compute/routes.py, etc/nova/api-paste.ini.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.api.openstack import (
    aggregates,
    availability_zones,
    compute_services,
    extensions,
    flavor_access,
    flavor_extra_specs,
    flavors,
    floating_ips,
    hosts,
    hypervisors,
    instance_actions,
    keypairs,
    limits,
    migrations,
    quota_classes,
    quota_sets,
    security_group_rules,
    security_groups,
    server_actions,
    server_consoles,
    server_diagnostics,
    server_groups,
    server_ips,
    server_metadata,
    server_migrations,
    server_password,
    server_tags,
    server_volumes,
    servers,
    simple_tenant_usage,
    volume_snapshots,
    volumes,
)
from services.api.openstack.faults import HttpFault, faults
from services.api.openstack.frame import MICROVERSION, Api, context
from services.api.openstack.microversion import MIN, echo, negotiate
from services.api.openstack.versions import version_routes
from services.web import Handler


class Resource(Protocol):
    """A module of this package that answers for one resource."""

    def routes(self, api: Api) -> list[web.RouteDef]:
        """Its urls, below the version and the project."""
        ...


RESOURCES: Final[Sequence[Resource]] = (
    servers,
    server_actions,
    server_metadata,
    server_ips,
    server_tags,
    server_consoles,
    server_diagnostics,
    server_password,
    server_migrations,
    instance_actions,
    flavors,
    flavor_access,
    flavor_extra_specs,
    keypairs,
    limits,
    quota_sets,
    quota_classes,
    availability_zones,
    compute_services,
    hypervisors,
    hosts,
    migrations,
    aggregates,
    server_groups,
    security_groups,
    security_group_rules,
    floating_ips,
    simple_tenant_usage,
    volumes,
    volume_snapshots,
    server_volumes,
    extensions,
)
_PREFIXES: Final = ("/v2.1", "/v2.1/{project_id:[0-9a-f-]+}", "/v2", "/v2/{project_id:[0-9a-f-]+}")


def create_app(
    api: Api, *, trace: Middleware, authenticate: Middleware, resources: Sequence[Resource] = RESOURCES
) -> web.Application:
    """The application; `trace` sees every request first, `authenticate` sets request[CONTEXT]."""
    app = web.Application(
        middlewares=[trace, faults, authenticate, _versioned, _in_own_project],
        client_max_size=api.config.api.max_body_bytes,
    )
    below = [route for resource in resources for route in resource.routes(api)]
    for prefix in _PREFIXES:
        app.add_routes([web.route(route.method, f"{prefix}{route.path}", route.handler) for route in below])
    app.add_routes(version_routes())
    return app


def is_public(request: web.Request) -> bool:
    """Whether this url answers without a token: all that tells about versions does."""
    version, _, below = request.path.lstrip("/").partition("/")
    return version not in ("v2", "v2.1") or not below


@web.middleware
async def _versioned(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Settle the microversion before the handler runs, and tell the client which one answered or refused."""
    if not request.path.startswith("/v2.1"):
        request[MICROVERSION] = MIN
        return await handler(request)
    version = negotiate(request.headers)
    request[MICROVERSION] = version
    response = await faults(request, handler)
    response.headers.update(echo(version))
    return response


@web.middleware
async def _in_own_project(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The project in the url, if there is one, is the project of the token."""
    named = request.match_info.get("project_id")
    if named is not None and named != context(request).project_id:
        own = context(request).project_id
        raise HttpFault(
            HTTPStatus.BAD_REQUEST,
            f"Malformed request URL: URL's project_id '{named}' doesn't match Context's project_id '{own}'",
        )
    return await handler(request)
