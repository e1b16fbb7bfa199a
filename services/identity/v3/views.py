"""Records as v3 shows them: their columns under Keystone's names, then what clients added."""

import msgspec

from novaflow.identity.models import Domain, Endpoint, Group, Project, Region, Role, Service, User
from novaflow.models import Value
from services.identity.links import View


def domain_view(domain: Domain) -> View:
    """A domain."""
    return _plain(domain)


def project_view(project: Project) -> View:
    """A project; domains are never shown as projects here."""
    return _plain(project) | {"is_domain": False}


def user_view(user: User) -> View:
    """A user, without anything of its password."""
    view = _plain(user)
    del view["password_hash"], view["epoch"]
    for name in ("description", "default_project_id"):
        if view[name] is None:
            del view[name]
    return view | {"password_expires_at": None}


def group_view(group: Group) -> View:
    """A group."""
    return _plain(group)


def role_view(role: Role) -> View:
    """A role; `domain_id` is null for a global one."""
    return _plain(role) | {"domain_id": role.domain_id or None}


def region_view(region: Region) -> View:
    """A region."""
    return _plain(region)


def service_view(service: Service) -> View:
    """A service; a name or description that was never given is not shown."""
    view = _plain(service)
    return {name: value for name, value in view.items() if value is not None or name not in ("name", "description")}


def endpoint_view(endpoint: Endpoint) -> View:
    """An endpoint; its region is shown under the old name as well."""
    view = _plain(endpoint)
    del view["legacy_endpoint_id"]
    return view | {"region": endpoint.region_id}


def _plain(record: Value) -> View:
    view = msgspec.structs.asdict(record)
    extra: View = view.pop("extra")
    return extra | view
