"""What is shown with servers that is kept beside them: their security groups and their floating addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from novaflow.models import FloatingAddress, Server
from services.api.openstack.frame import Api


@dataclass(frozen=True)
class Networking:
    """By server; one that has none of it is not there."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    floating: Mapping[str, Sequence[FloatingAddress]] = field(default_factory=dict)


async def networking(api: Api, servers: Sequence[Server]) -> Networking:
    """All of it for these servers, whom the caller may see."""
    ids = [server.id for server in servers]
    return Networking(await api.security_groups.names(ids), await api.floating_addresses.of_servers(ids))
