"""A cloud without its front doors: scheduler, conductor and compute hosts on one broker and one database.

Everything is the real thing on the embedded parts: the memory bus, a SQLite file, the fake driver. Each service is a process
of its own as far as the bus can tell, so that it can be killed and started again; what it leaves in the broker, in
the database and on the hypervisor is what the next one finds.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from novaflow.clock import SystemClock
from novaflow.config import Bus, Compute, Conductor, Config
from novaflow.db.database import Database
from novaflow.db.hosts import Hosts
from novaflow.db.migrate import upgrade
from novaflow.db.servers import NewServer, Servers, Transition
from novaflow.errors import Codec, Conflict, Forbidden, NotFound, Unauthorized
from novaflow.hosts import Host
from novaflow.messages import (
    BUILD_INSTANCES,
    REBOOT_INSTANCE,
    START_INSTANCE,
    STOP_INSTANCE,
    TERMINATE_INSTANCE,
    BuildInstance,
    RebootOrder,
    ServerOrder,
)
from novaflow.models import Context, Flavor, ImageFacts, Server
from novaflow.quotas import QuotaLimits
from novaflow.states import Event
from novaflow.virt.choose import fake_resources
from novaflow.virt.driver import Driver
from novaflow.virt.fake import FakeDriver
from novaflow.virt.fake.host import FakeDelays
from rpc.bus import Bus as MessageBus
from rpc.bus import BusSettings
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.tracing import Span, Tracer
from services.compute.service import ImageService, compute_with
from services.conductor import conductor
from services.runtime import Runtime
from services.scheduler import scheduler

TINY = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)
USER = Context(
    request_id="req-11111111-1111-4111-8111-111111111111", user_id="u", project_id="p", roles=("member",), token="user"
)
SERVICE_TOKEN = "service"
BeforeOnHost = Callable[[str, str, str], Awaitable[None]]
"""Awaited with (host, operation, server id) before a driver does anything; see novaflow.virt.fake."""
_SIGNS_OF_LIFE = ("host_started", "heartbeat", "list_host_servers", "list_host_volumes")
SETTLED = ("active", "stopped", "error", "deleted")


class Images:
    """An image service in memory, as strict as the real one. `calls` lists what was asked of it with which token."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.facts: dict[str, ImageFacts] = {}
        self.tokens = {"user", SERVICE_TOKEN}
        self.calls: list[tuple[str, str, str]] = []
        self.trouble: Exception | None = None
        self.protected: set[str] = set()
        self.before_upload: Callable[[str], Awaitable[None]] | None = None

    def add(self, name: str, data: bytes, **more: Any) -> ImageFacts:
        """An active image with these bytes."""
        facts = ImageFacts(
            id=name,
            name=name,
            size_bytes=len(data),
            md5=hashlib.md5(data).hexdigest(),
            sha512=hashlib.sha512(data).hexdigest(),
            **more,
        )
        self.data[name], self.facts[name] = data, facts
        return facts

    async def show(self, image_id: str, token: str) -> ImageFacts:
        self._check("show", image_id, token)
        return self.facts[image_id]

    @asynccontextmanager
    async def download(self, image_id: str, token: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self._check("download", image_id, token)
        yield _chunks(self.data[image_id])

    def queue(self, name: str, **more: Any) -> ImageFacts:
        """An image on record that waits for its bytes, as nova-api makes it before it orders a snapshot."""
        properties = more.pop("properties", {})
        facts = ImageFacts(id=name, name=name, disk_format="qcow2", status="queued", properties=properties, **more)
        self.data[name], self.facts[name] = b"", facts
        return facts

    async def upload(self, image_id: str, file: Path, token: str) -> None:
        self._check("upload", image_id, token)
        if self.before_upload:
            await self.before_upload(image_id)
        self._check("upload", image_id, token)
        queued, data = self.facts[image_id], file.read_bytes()
        if queued.status != "queued":
            raise Conflict(reason=f"Image {image_id} is {queued.status}")
        self.add(image_id, data)
        kept = {name: getattr(queued, name) for name in ("disk_format", "properties", "owner")}
        self.facts[image_id] = msgspec.structs.replace(self.facts[image_id], **kept)

    async def delete(self, image_id: str, token: str) -> None:
        self._check("delete", image_id, token)
        if image_id in self.protected:
            raise Forbidden(rule="delete_image")
        del self.data[image_id], self.facts[image_id]

    async def list(self, filters: Mapping[str, str], token: str) -> Sequence[ImageFacts]:
        if token not in self.tokens:
            raise Unauthorized
        newest_first = reversed(self.facts.values())
        return [image for image in newest_first if filters.items() <= image.properties.items()]

    def _check(self, what: str, image_id: str, token: str) -> None:
        self.calls.append((what, image_id, token))
        if token not in self.tokens:
            raise Unauthorized
        if self.trouble:
            raise self.trouble
        if image_id not in self.data:
            raise NotFound(kind="Image", key=image_id)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


class Spans:
    """A sink that keeps what it gets. `on_span` hears of each, and must not fail."""

    def __init__(self) -> None:
        self.all: list[Span] = []
        self.on_span: Callable[[Span], None] | None = None

    def record(self, span: Span) -> None:
        self.all.append(span)
        if self.on_span:
            self.on_span(span)


class Process:
    """One service in a process of its own: its own connection to the broker, its own loops."""

    def __init__(
        self, cloud: "Cloud", serve: Callable[[Runtime], AbstractAsyncContextManager[Any]], config: Config
    ) -> None:
        self._cloud = cloud
        self._serve = serve
        self._config = config
        self._task: asyncio.Task[None] | None = None
        self._transport: MemoryTransport | None = None
        self._stop = asyncio.Event()

    async def start(self) -> None:
        """Serve; returns when the service does."""
        ready = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._transport = self._cloud.transport_of(self._cloud.broker, self._cloud.bus_settings)
        self._task = asyncio.create_task(self._run(self._transport, ready))
        self._task.add_done_callback(lambda _: ready.cancel())
        try:
            await ready
        except asyncio.CancelledError:
            await self._task
            raise

    async def stop(self) -> None:
        """Drain and end, as on SIGTERM."""
        if self._task:
            self._stop.set()
            await self._task
            self._task = None

    async def kill(self) -> None:
        """End as by SIGKILL: nothing more is acknowledged, sent or finished."""
        if self._task and self._transport:
            await self._transport.close()
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self, transport: MemoryTransport, ready: "asyncio.Future[None]") -> None:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            group = await stack.enter_async_context(asyncio.TaskGroup())
            runtime = Runtime(
                config=self._config,
                http=http,
                sink=self._cloud.spans,
                _tasks=group,
                _stack=stack,
                _database=self._cloud.database,
                _transport=transport,
            )
            stack.callback(runtime.cancel_loops)
            async with self._serve(runtime):
                ready.set_result(None)
                await self._stop.wait()


@dataclass(kw_only=True)
class Cloud:
    """The running cloud, and what a test wants of it."""

    config: Config
    directory: Path
    database: Database
    broker: MemoryBroker
    bus: MessageBus
    images: Images = field(default_factory=Images)
    image_service: ImageService | None = None  # instead of `images`
    spans: Spans = field(default_factory=Spans)
    moves: list[Transition] = field(default_factory=list)
    drivers: dict[str, FakeDriver] = field(default_factory=dict)
    before: BeforeOnHost | None = None
    delays: FakeDelays | None = None
    answers_power_button: bool = True
    bus_is_cut: bool = False  # orders of this test are lost
    transport_of: Callable[[MemoryBroker, BusSettings], MemoryTransport] = MemoryTransport
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.servers = Servers(self.database, clock, self.moves.append)
        self.hosts = Hosts(self.database, clock)
        self.processes = {
            "conductor": Process(self, conductor, self.config),
            "scheduler": Process(self, scheduler, self.config),
            "compute": Process(self, self._compute, self.config),
        }

    @property
    def bus_settings(self) -> BusSettings:
        bus = self.config.bus
        return BusSettings(
            delivery=bus.delivery, prefetch=bus.prefetch, retry_delay=bus.retry_delay, drain_timeout=bus.drain_timeout
        )

    def _compute(self, runtime: Runtime) -> AbstractAsyncContextManager[Any]:
        return compute_with(runtime, self.image_service or self.images, self._service_token, self._driver_of)

    async def add_host(self, name: str) -> Process:
        """One more compute host, in a process of its own."""
        compute = msgspec.structs.replace(self.config.compute, host=name, hosts=1)
        process = Process(self, self._compute, msgspec.structs.replace(self.config, compute=compute))
        self.processes[name] = process
        await process.start()
        return process

    async def lose_broker(self) -> None:
        """Every process dies, and with them whatever was queued, as when a cloud with the bus in memory ends."""
        for process in reversed(self.processes.values()):
            await process.kill()
        await self.bus.close()
        self.broker = MemoryBroker()
        self.bus = bus_on(self.broker, self.spans)

    async def _service_token(self) -> str:
        return SERVICE_TOKEN

    def _driver_of(self, host: str) -> Driver:
        self.drivers[host] = FakeDriver(
            self.directory / host,
            fake_resources(self.config.compute, host),
            delays=self.delays,
            before=partial(self.before, host) if self.before else None,
            answers_power_button=self.answers_power_button,
        )
        return self.drivers[host]

    async def boot(self, count: int = 1, *, settle: bool = True, **more: Any) -> list[Server]:
        """Accept servers and order their builds, as nova-api does; with `settle`, wait for what becomes of them."""
        draft: dict[str, Any] = {"name": "web", "hostname": "web", "flavor": TINY, "image_id": "cirros", **more}
        drafts = [NewServer(**draft) for _ in range(count)]
        servers = await self.servers.create(USER, drafts, QuotaLimits(instances=-1, cores=-1, ram=-1))
        for server in servers:
            await self.cast_build(server)
        return [await self.settled(server.id) for server in servers] if settle else servers

    async def cast_build(self, server: Server) -> None:
        """Order a build of this server by its task, again if need be."""
        assert server.task_id
        spec = await self.servers.spec(server.id)
        order = BuildInstance(context=USER, server_id=server.id, task_id=server.task_id, spec=spec)
        if self.bus_is_cut:
            return
        await self.bus.cast(BUILD_INSTANCES, order)

    async def order(self, server: Server, action: str, *, hard: bool = False, settle: bool = True) -> Server:
        """Accept an action and order it of the server's host, as nova-api does."""
        event = {
            "delete": Event.DELETE_ORDERED,
            "stop": Event.STOP_ORDERED,
            "start": Event.START_ORDERED,
            "reboot": Event.HARD_REBOOT_ORDERED if hard else Event.REBOOT_ORDERED,
        }[action]
        ordered = await self.servers.order(USER, await self.server(server.id), action, event)
        await self.cast_order(ordered, action, hard=hard)
        return await self.settled(server.id) if settle else ordered

    async def cast_order(self, server: Server, action: str, *, hard: bool = False) -> None:
        """Send the order for an accepted action, again if need be."""
        assert server.task_id
        assert server.host
        if action == "reboot":
            reboot = RebootOrder(context=USER, server_id=server.id, task_id=server.task_id, hard=hard)
            await self.bus.cast(REBOOT_INSTANCE.at(server.host), reboot)
        else:
            order = ServerOrder(context=USER, server_id=server.id, task_id=server.task_id)
            procedure = {"delete": TERMINATE_INSTANCE, "stop": STOP_INSTANCE, "start": START_INSTANCE}[action]
            await self.bus.cast(procedure.at(server.host), order)

    async def server(self, server_id: str) -> Server:
        return await self.servers.get(server_id, deleted=True)

    async def settled(self, server_id: str) -> Server:
        """The server once no task owns it."""
        await self.until(lambda: self._is_settled(server_id))
        return await self.server(server_id)

    async def _is_settled(self, server_id: str) -> bool:
        server = await self.server(server_id)
        return server.task_id is None and server.vm in SETTLED

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(seconds):
            while not await holds():
                await asyncio.sleep(0.01)

    async def quiet(self) -> None:
        """Wait until the broker holds nothing and nobody works."""
        names = ["scheduler", "conductor", *(f"compute.{host}" for host in self.drivers)]

        async def is_quiet() -> bool:
            before = len(self.spans.all)
            await asyncio.sleep(0.1)
            busy = [span for span in self.spans.all[before:] if not span.name.endswith("heartbeat")]
            return not busy and all(self.broker.depth(name) == 0 for name in names)

        await self.until(is_quiet)

    async def all_hosts(self) -> list[Host]:
        return await self.hosts.all(SystemClock().now(), self.config.compute.service_down_time)

    def guests(self) -> dict[str, list[str]]:
        """The hosts that have a guest of each server."""
        found: dict[str, list[str]] = {}
        for file in self.directory.glob("*/guests/*.json"):
            found.setdefault(file.stem, []).append(file.parts[-3])
        return found

    def hops(self, *kinds: str) -> list[str]:
        """The names of the spans of these kinds, in the order they began; the hosts' own signs of life left out."""
        began = sorted(self.spans.all, key=lambda span: span.start)
        named = [span.name for span in began if span.kind in kinds]
        return [name for name in named if not name.endswith(_SIGNS_OF_LIFE)]


def bus_on(broker: MemoryBroker, spans: Spans) -> MessageBus:
    """The test's own end of the bus, in the place of nova-api."""
    settings = BusSettings()
    tracer = Tracer("nova-api", spans)
    return MessageBus(MemoryTransport(broker, settings), tracer=tracer, errors=Codec(), settings=settings)


def settings(**changes: Any) -> Config:
    """A configuration with short times; `changes` are sections. Busy machines hold heartbeats up, so a host is not soon down."""
    config = Config(
        bus=Bus(retry_delay=0.05, drain_timeout=0.0),
        conductor=Conductor(task_lease=0.6, recovery_interval=0.1),
        compute=Compute(
            virt="fake", host="c", hosts=2, heartbeat_interval=0.2, service_down_time=10.0, stop_timeout=5.0
        ),
    )
    return msgspec.structs.replace(config, **changes)


def soon_down(**more: Any) -> Compute:
    """Of a cloud where a host that was killed counts as down after a second, as one does that a busy machine holds up so long."""
    return msgspec.structs.replace(settings().compute, service_down_time=1.0, **more)


SERVICES = ("conductor", "scheduler", "compute")


@asynccontextmanager
async def cloud(
    directory: Path, config: Config | None = None, *, services: Collection[str] = SERVICES, **more: Any
) -> AsyncIterator[Cloud]:
    """A cloud whose `services` run until the block ends."""
    config = msgspec.structs.replace(config or settings(), state_dir=str(directory))
    await upgrade(config.database_url)
    database = await Database.open(config.database_url, config.database)
    broker = MemoryBroker()
    spans = Spans()
    bus = bus_on(broker, spans)
    world = Cloud(config=config, directory=directory, database=database, broker=broker, bus=bus, spans=spans, **more)
    world.images.add("cirros", bytes(4096), disk_format="raw")
    try:
        for name in services:
            await world.processes[name].start()
        yield world
    finally:
        for process in reversed(world.processes.values()):
            await process.kill()
        await world.bus.close()
        await database.close()
