"""nova-api as a service: what it opens, and how its parts are put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.aggregates import Aggregates
from novaflow.db.database import Database
from novaflow.db.flavors import Flavors
from novaflow.db.hosts import Hosts
from novaflow.db.keypairs import KeyPairs
from novaflow.db.quotas import Quotas
from novaflow.db.server_groups import ServerGroups
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.operations.actions import ActionOperations
from novaflow.operations.aggregates import AggregateOperations
from novaflow.operations.flavors import FlavorOperations
from novaflow.operations.hosts import HostOperations
from novaflow.operations.keypairs import KeyPairOperations
from novaflow.operations.quotas import QuotaOperations
from novaflow.operations.server_actions import ServerActions
from novaflow.operations.server_boot import Images, ServerBoot
from novaflow.operations.server_groups import ServerGroupOperations
from novaflow.operations.servers import ServerOperations
from novaflow.operations.services import ServiceOperations
from novaflow.operations.usage import UsageOperations
from rpc.bus import Bus
from rpc.tracing import Tracer
from services.api.openstack.app import create_app, is_public
from services.api.openstack.frame import Api
from services.auth import authenticated, token_verifier
from services.clients import ImageClient
from services.runtime import Runtime
from services.transitions import traced as traced_transitions
from services.web import serving, traced

BINARY: Final = "nova-api"


@asynccontextmanager
async def api(runtime: Runtime) -> AsyncIterator[None]:
    """Serve the Compute API until the block ends. Raises PortTaken."""
    config, tracer = runtime.config, runtime.tracer(BINARY)
    resources = assemble(
        config=config,
        clock=runtime.clock,
        tracer=tracer,
        database=await runtime.database(),
        bus=await runtime.bus(BINARY),
        images=ImageClient(runtime.http, config.image_url, tracer),
    )
    app = create_app(
        resources,
        trace=traced(tracer),
        authenticate=authenticated(token_verifier(runtime, tracer), public=is_public),
    )
    async with serving(app, config.api.host, config.api.port):
        yield


def assemble(*, config: Config, clock: Clock, tracer: Tracer, database: Database, bus: Bus, images: Images) -> Api:
    """Put the operations together over one database, one bus and one image service."""
    servers = Servers(database, clock, traced_transitions(tracer))
    hosts = Hosts(database, clock)
    services = Services(database, clock)
    quotas = Quotas(database)
    keypairs = KeyPairs(database)
    flavors = FlavorOperations(Flavors(database))
    down_time = config.compute.service_down_time
    return Api(
        config=config,
        clock=clock,
        servers=ServerOperations(servers, quotas, config),
        boots=ServerBoot(
            servers=servers,
            flavors=flavors,
            keypairs=keypairs,
            quotas=quotas,
            hosts=hosts,
            images=images,
            bus=bus,
            config=config,
            clock=clock,
            tracer=tracer,
        ),
        server_actions=ServerActions(servers, hosts, bus, config, clock),
        actions=ActionOperations(servers),
        flavors=flavors,
        keypairs=KeyPairOperations(keypairs, quotas, config.quota, clock),
        quotas=QuotaOperations(quotas, config.quota),
        hosts=HostOperations(hosts, services, servers, clock, down_time),
        services=ServiceOperations(services, clock, down_time),
        usages=UsageOperations(servers),
        aggregates=AggregateOperations(Aggregates(database, clock)),
        server_groups=ServerGroupOperations(ServerGroups(database), config.quota, clock),
    )
