"""What every action of the API stands on: the operations it calls, the call it answers, and how it is registered.

A module of actions has one constant `ACTIONS`, a tuple of Action; services/api/ec2/registry.py lists the modules. An action is
`async def describe_regions(api: Ec2Api, call: Call) -> Mapping[str, Tree]`, and its name is the function's in EC2's spelling.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.client_tokens import ClientTokens
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_signatures import Ec2Signatures
from novaflow.db.ec2_tags import Ec2Tags
from novaflow.models import Context
from novaflow.operations.flavors import FlavorOperations
from novaflow.operations.floating_addresses import FloatingAddressOperations
from novaflow.operations.guest_passwords import GuestPasswordOperations
from novaflow.operations.images import ImageOperations
from novaflow.operations.keypairs import KeyPairOperations
from novaflow.operations.quotas import QuotaOperations
from novaflow.operations.security_groups import SecurityGroupOperations
from novaflow.operations.server_actions import ServerActions
from novaflow.operations.server_boot import ServerBoot
from novaflow.operations.servers import ServerOperations
from novaflow.operations.services import ServiceOperations
from novaflow.operations.volume_snapshots import VolumeSnapshotOperations
from novaflow.operations.volumes import VolumeOperations
from services.api.ec2.protocol import Params
from services.api.ec2.xml import Tree

_READING: Final = ("Describe", "Get")


@dataclass(frozen=True, kw_only=True)
class Ec2Api:
    """What the actions of the API call."""

    config: Config
    clock: Clock
    ids: Ec2Ids
    client_tokens: ClientTokens
    signatures: Ec2Signatures
    tags: Ec2Tags
    servers: ServerOperations
    boots: ServerBoot
    guest_passwords: GuestPasswordOperations
    server_actions: ServerActions
    flavors: FlavorOperations
    keypairs: KeyPairOperations
    quotas: QuotaOperations
    security_groups: SecurityGroupOperations
    floating_addresses: FloatingAddressOperations
    images: ImageOperations
    services: ServiceOperations
    volumes: VolumeOperations
    volume_snapshots: VolumeSnapshotOperations


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request for an action, by somebody who is known."""

    context: Context
    version: str  # of the API, 2016-11-15
    params: Params
    url: str  # where the client found this API, without a path


Answer = Mapping[str, Tree]
Perform = Callable[[Ec2Api, Call], Awaitable[Answer]]


@dataclass(frozen=True)
class Action:
    """An action by its name. `takes` names the parameters it knows, at the first level; DryRun is known to all."""

    name: str
    perform: Perform
    takes: tuple[str, ...] = ()

    @property
    def is_reading(self) -> bool:
        """Changes nothing, so that asking twice does no harm."""
        return self.name.startswith(_READING)
