"""What one process holds open, and how services run in it.

A service is an async context manager that takes a `Runtime`: entering it starts serving, leaving it drains. A process runs one
of them or all. Whatever is opened here is opened once per process and closed in reverse.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import aiohttp

from novaflow.clock import Clock, SystemClock
from novaflow.config import Config
from novaflow.errors import Codec, Invalid, ServiceUnavailable
from rpc.bus import Bus, BusSettings
from rpc.connect import open_transport
from rpc.errors import BusError
from rpc.tracing import Discard, SpanSink, Tracer
from rpc.transport import Transport
from services.broker import broker_address, key_of
from services.bus_settings import bus_settings
from services.groups import one_error
from services.monitoring import monitored
from services.sinks import recording
from services.vitals import Phase, Vitals

if TYPE_CHECKING:
    from novaflow.db.database import Database

Service = Callable[["Runtime"], AbstractAsyncContextManager[None]]

log = logging.getLogger(__name__)


@dataclass
class Runtime:
    """The process: its settings, its clock, and what its services share."""

    config: Config
    http: aiohttp.ClientSession
    sink: SpanSink
    _tasks: asyncio.TaskGroup
    _stack: AsyncExitStack
    clock: Clock = field(default_factory=SystemClock)
    vitals: Vitals = field(default_factory=Vitals)
    _database: "Database | None" = None
    _transport: Transport | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _loops: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def state_dir(self) -> Path:
        """Where this cloud keeps its files."""
        return Path(self.config.state_dir).absolute()

    @property
    def bus_settings(self) -> BusSettings:
        """The configuration's words for the bus; raises Invalid."""
        return bus_settings(self.config.bus)

    def tracer(self, service: str) -> Tracer:
        """A tracer whose spans carry this service's name."""
        return Tracer(service, self.sink)

    async def database(self) -> "Database":
        """The process's database, opened at first use, its schema brought up to date."""
        async with self._opening:
            if self._database is None:
                # Imported on demand: a compute host has no database, and a third of its memory less.
                from novaflow.db.database import Database
                from novaflow.db.migrate import upgrade

                await upgrade(self.config.database_url)
                self._database = await Database.open(self.config.database_url, self.config.database)
                self._stack.push_async_callback(self._database.close)
                self.vitals.database = self._database
            return self._database

    async def bus(self, service: str) -> Bus:
        """A service's end of the bus; all services of a process share one connection.

        Raises ServiceUnavailable when the broker stays away, Invalid for a URL of something else, or files of no use.
        """
        async with self._opening:
            if self._transport is None:
                self._transport = await self._connected()
                self._stack.push_async_callback(self._transport.close)
                self.vitals.transport = self._transport
        # Where requests are counted and nothing else is done with spans, the bus need not make any.
        tracer = Tracer(service, Discard()) if self.sink is self.vitals.requests else self.tracer(service)
        bus = Bus(self._transport, tracer=tracer, errors=Codec(), settings=self.bus_settings)
        self.vitals.buses.append((service, bus.metrics))
        return bus

    async def _connected(self) -> Transport:
        try:
            return await open_transport(broker_address(self.config.bus), self.bus_settings)
        except BusError as error:
            raise ServiceUnavailable(service="the broker", reason=str(error)) from error
        except ValueError as error:
            raise Invalid(reason=f"{key_of(error)}: {error}") from error

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a loop in the background until the process stops; if it fails, the process stops."""
        task = self._tasks.create_task(work, name=name)
        self._loops.add(task)
        task.add_done_callback(self._loops.discard)
        return task

    def cancel_loops(self) -> None:
        """End the background loops."""
        for task in list(self._loops):
            task.cancel()


@asynccontextmanager
async def opened(config: Config, process: str) -> AsyncIterator[Runtime]:
    """A runtime for one process; leaving it ends the background loops and closes what was opened."""
    directory = Path(config.state_dir).absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    vitals = Vitals(process)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(AsyncExitStack())
        stack.enter_context(one_error())
        sink = await stack.enter_async_context(recording(config, vitals, directory))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            )
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        runtime = Runtime(config=config, http=http, sink=sink, vitals=vitals, _tasks=tasks, _stack=parts)
        stack.callback(runtime.cancel_loops)
        await stack.enter_async_context(monitored(config.metrics, vitals, directory))
        yield runtime


@asynccontextmanager
async def running(
    runtime: Runtime, services: Mapping[str, Service], after: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[None]:
    """All of `services` serve while the block runs.

    They start side by side, but for those that start `after` another one, and drain in reverse, within the deadline.
    """
    served = {name: _Served(name, service, runtime.vitals) for name, service in services.items()}
    with one_error():
        async with asyncio.TaskGroup() as tasks:
            for name, one in served.items():
                one.task = tasks.create_task(one.serve(runtime, served.get(after.get(name, ""))), name=name)
            for one in served.values():
                await one.is_ready.wait()
            yield
            async with asyncio.timeout(runtime.config.drain_timeout):
                for one in reversed(served.values()):
                    await one.drain()


class _Served:
    """One service in a task of its own: the timeouts and task groups in it must be left by the task that entered them."""

    def __init__(self, name: str, service: Service, vitals: Vitals) -> None:
        self._name = name
        self._service = service
        self._phases = vitals.phases
        self._phases[name] = Phase.STARTING
        self._is_over = asyncio.Event()
        self.is_ready = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def serve(self, runtime: Runtime, after: "_Served | None") -> None:
        """From start to drain; starts once `after` serves."""
        if after is not None:
            await after.is_ready.wait()
        async with self._service(runtime):
            self._phases[self._name] = Phase.READY
            self.is_ready.set()
            await self._is_over.wait()
        self._phases[self._name] = Phase.ENDED

    async def drain(self) -> None:
        """Leave the service and wait for it."""
        self._phases[self._name] = Phase.DRAINING
        self._is_over.set()
        if self.task is not None:
            await self.task
