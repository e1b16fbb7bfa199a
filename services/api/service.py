"""nova-api as a service: what it opens, and how its parts are put together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from aiohttp import web

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.aggregates import Aggregates
from novaflow.db.client_tokens import ClientTokens
from novaflow.db.database import Database
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_signatures import Ec2Signatures
from novaflow.db.ec2_tags import Ec2Tags
from novaflow.db.flavors import Flavors
from novaflow.db.floating_addresses import FloatingAddresses
from novaflow.db.guest_passwords import GuestPasswords
from novaflow.db.guest_plans import GuestPlans
from novaflow.db.hosts import Hosts
from novaflow.db.keypairs import KeyPairs
from novaflow.db.locking import ServerLocks
from novaflow.db.migration_records import Migrations
from novaflow.db.quotas import Quotas
from novaflow.db.security_groups import SecurityGroups
from novaflow.db.security_members import SecurityMembers
from novaflow.db.server_groups import ServerGroups
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.db.transitions import Transition
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.operations.actions import ActionOperations
from novaflow.operations.aggregates import AggregateOperations
from novaflow.operations.boot_disks import BootDisks
from novaflow.operations.flavors import FlavorOperations
from novaflow.operations.floating_addresses import FloatingAddressOperations
from novaflow.operations.guest_facts import GuestFactOperations
from novaflow.operations.guest_passwords import GuestPasswordOperations
from novaflow.operations.hosts import HostOperations
from novaflow.operations.images import ImageOperations, OwnImages
from novaflow.operations.keypairs import KeyPairOperations
from novaflow.operations.quotas import QuotaOperations
from novaflow.operations.security_groups import SecurityGroupOperations
from novaflow.operations.server_actions import Images as ImagesOfServers
from novaflow.operations.server_actions import ServerActions, server_actions
from novaflow.operations.server_boot import ServerBoot
from novaflow.operations.server_groups import ServerGroupOperations
from novaflow.operations.server_orders import ServerOrders
from novaflow.operations.servers import ServerOperations
from novaflow.operations.services import ServiceOperations
from novaflow.operations.usage import UsageOperations
from novaflow.operations.volume_snapshots import VolumeSnapshotOperations
from novaflow.operations.volumes import VolumeOperations
from rpc.bus import Bus
from rpc.tracing import Tracer
from services.api.ec2 import app as ec2_app
from services.api.ec2.auth import signature_verifier, signed_by_key
from services.api.ec2.frame import Ec2Api
from services.api.metadata import app as metadata_app
from services.api.openstack.app import create_app, is_public
from services.api.openstack.frame import Api
from services.auth import authenticated, token_verifier
from services.clients import ImageClient
from services.guest_identity import shared_secret
from services.notifications import telling
from services.runtime import Runtime
from services.transitions import traced as traced_transitions
from services.web import serving, traced

BINARY: Final = "nova-api"
Tell = Callable[[Transition], None]


class Images(ImagesOfServers, OwnImages, Protocol):
    """What nova-api needs of the image service."""


@asynccontextmanager
async def api(runtime: Runtime) -> AsyncIterator[None]:
    """Serve the Compute API, the EC2 API and the metadata service until the block ends. Raises PortTaken."""
    tracer, database, bus = runtime.tracer(BINARY), await runtime.database(), await runtime.bus(BINARY)
    recorded = traced_transitions(tracer)
    async with (
        telling(runtime, bus, database, recorded) as tell,
        _serving(runtime, tracer, database, bus, tell),
    ):
        yield


@asynccontextmanager
async def _serving(runtime: Runtime, tracer: Tracer, database: Database, bus: Bus, tell: Tell) -> AsyncIterator[None]:
    config = runtime.config
    resources = assemble(
        config=config,
        clock=runtime.clock,
        tracer=tracer,
        database=database,
        bus=bus,
        images=ImageClient(runtime.http, config.image_url, tracer),
        tell=tell,
    )
    app = create_app(
        resources,
        trace=traced(tracer),
        authenticate=authenticated(token_verifier(runtime, tracer), public=is_public),
    )
    ec2 = ec2_app.create_app(
        assemble_ec2(resources, database),
        trace=traced(tracer),
        authenticate=signed_by_key(signature_verifier(runtime, tracer), runtime.clock),
    )
    async with (
        serving(app, config.api.host, config.api.port),
        serving(ec2, config.api.ec2_host, config.api.ec2_port),
        serving(_metadata(runtime, tracer, database, resources), config.api.metadata_host, config.api.metadata_port),
    ):
        yield


def _metadata(runtime: Runtime, tracer: Tracer, database: Database, api: Api) -> web.Application:
    config = runtime.config
    facts = GuestFactOperations(
        GuestPlans(database),
        Ec2Ids(database),
        SecurityMembers(database),
        FloatingAddresses(database, config.network.floating_cidr),
        config,
    )
    served = metadata_app.Metadata(
        facts=facts,
        passwords=api.guest_passwords,
        clock=runtime.clock,
        secret=shared_secret(runtime.state_dir),
        requires_token=config.api.metadata_requires_token,
    )
    return metadata_app.create_app(served, trace=traced(tracer))


def assemble_ec2(api: Api, database: Database) -> Ec2Api:
    """The same operations for the EC2 API, with what it keeps for itself."""
    return Ec2Api(
        config=api.config,
        clock=api.clock,
        ids=Ec2Ids(database),
        client_tokens=ClientTokens(database),
        signatures=Ec2Signatures(database, api.clock),
        tags=Ec2Tags(database),
        servers=api.servers,
        boots=api.boots,
        guest_passwords=api.guest_passwords,
        server_actions=api.server_actions,
        flavors=api.flavors,
        keypairs=api.keypairs,
        quotas=api.quotas,
        security_groups=api.security_groups,
        floating_addresses=api.floating_addresses,
        images=api.images,
        services=api.services,
        volumes=api.volumes,
        volume_snapshots=api.volume_snapshots,
    )


class _Parts:
    """What several of the operations work with: one of each, over one database, one bus and one image service."""

    def __init__(
        self, config: Config, clock: Clock, tracer: Tracer, database: Database, bus: Bus, images: Images, tell: Tell
    ) -> None:
        self.config = config
        self.clock = clock
        self.tracer = tracer
        self.database = database
        self.bus = bus
        self.images = images
        self.servers = Servers(database, clock, tell)
        self.hosts = Hosts(database, clock)
        self.services = Services(database, clock)
        self.quotas = Quotas(database)
        self.keypairs = KeyPairs(database)
        self.flavors = FlavorOperations(Flavors(database))


def assemble(
    *,
    config: Config,
    clock: Clock,
    tracer: Tracer,
    database: Database,
    bus: Bus,
    images: Images,
    tell: Tell | None = None,
) -> Api:
    """Put the operations together over one database, one bus and one image service. `tell` hears of every transition."""
    parts = _Parts(config, clock, tracer, database, bus, images, tell or traced_transitions(tracer))
    servers, quotas, down_time = parts.servers, parts.quotas, config.compute.service_down_time
    return Api(
        config=config,
        clock=clock,
        servers=ServerOperations(servers, quotas, config),
        boots=_boots(parts),
        server_actions=_server_actions(parts),
        actions=ActionOperations(servers),
        flavors=parts.flavors,
        keypairs=KeyPairOperations(parts.keypairs, quotas, config.quota, clock),
        quotas=QuotaOperations(quotas, config.quota),
        hosts=HostOperations(parts.hosts, parts.services, servers, clock, down_time),
        services=ServiceOperations(parts.services, clock, down_time),
        usages=UsageOperations(servers),
        aggregates=AggregateOperations(Aggregates(database, clock)),
        server_groups=ServerGroupOperations(ServerGroups(database), config.quota, clock),
        volumes=VolumeOperations(Volumes(database), VolumeSnapshots(database), servers, bus, config, clock),
        volume_snapshots=VolumeSnapshotOperations(VolumeSnapshots(database), bus, config, clock),
        security_groups=_security_groups(parts),
        images=ImageOperations(images),
        floating_addresses=_floating_addresses(parts),
        guest_passwords=GuestPasswordOperations(GuestPasswords(database), servers),
    )


def _boots(parts: _Parts) -> ServerBoot:
    return ServerBoot(
        servers=parts.servers,
        flavors=parts.flavors,
        keypairs=parts.keypairs,
        quotas=parts.quotas,
        hosts=parts.hosts,
        images=parts.images,
        bus=parts.bus,
        config=parts.config,
        clock=parts.clock,
        tracer=parts.tracer,
        client_tokens=ClientTokens(parts.database),
        disks=BootDisks(Volumes(parts.database), VolumeSnapshots(parts.database), parts.config),
    )


def _server_actions(parts: _Parts) -> ServerActions:
    return server_actions(
        ServerOrders(parts.servers, parts.hosts, parts.bus, parts.config, parts.clock),
        images=parts.images,
        flavors=parts.flavors,
        quotas=parts.quotas,
        locks=ServerLocks(parts.database, parts.clock),
        migrations=Migrations(parts.database),
        config=parts.config,
    )


def _security_groups(parts: _Parts) -> SecurityGroupOperations:
    groups, members = SecurityGroups(parts.database, parts.clock), SecurityMembers(parts.database)
    return SecurityGroupOperations(groups, members, parts.servers, parts.config.quota)


def _floating_addresses(parts: _Parts) -> FloatingAddressOperations:
    network = parts.config.network
    addresses = FloatingAddresses(parts.database, network.floating_cidr)
    return FloatingAddressOperations(addresses, parts.servers, parts.config.quota, network.floating_pool)
