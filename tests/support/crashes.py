"""A cloud to be hurt: every service a process of its own, on a broker and a database that can be killed as well.

What is asserted of it is asserted from outside: by REST, in the tables, on the hypervisors' disks, in the broker's queues and in
the services' logs.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Database as DatabaseSettings
from novaflow.db.database import Database
from novaflow.lab.openstack import ApiError, OpenStack, connect
from services.detached import admin, detached
from services.private.mariadb import PrivateMariaDB
from services.private.rabbitmq import PrivateRabbitMQ

SETTINGS: Final = """
[quota]
instances = 1000
cores = 1000
ram = 1000000
[conductor]
task_lease = 4.0
recovery_interval = 0.5
[compute]
heartbeat_interval = 1.0
service_down_time = 20.0
[bus]
retry_delay = 0.2
"""
HOSTS: Final = 2
IMAGE_BYTES: Final = 3 * 2**20
PATIENCE: Final = 90.0  # seconds a hurt cloud may take to do what it was told
RETRY: Final = 0.2  # seconds after which a client that was refused asks again
Row = Sequence[Any]


@dataclass
class Orders:
    """What a client asked for and what it was told."""

    accepted: dict[str, str] = field(default_factory=dict)  # server id -> name
    deleted: set[str] = field(default_factory=set)  # server ids whose end was accepted
    unclear: Counter[str] = field(default_factory=Counter)  # name -> requests whose outcome the client was not told
    refusals: list[ApiError] = field(default_factory=list)
    is_begun: asyncio.Event = field(default_factory=asyncio.Event)  # something was accepted


@dataclass
class CrashingCloud:
    """The cloud, its client, and the hands that hurt it."""

    state_dir: Path
    client: OpenStack
    broker: PrivateRabbitMQ
    database: PrivateMariaDB
    records: Database
    said: list[str]
    _read: dict[Path, int] = field(default_factory=dict)

    # Hurting it.

    def pid(self, service: str) -> int | None:
        """The process that serves now; the dead one's until the next is ready."""
        up = msgspec.json.decode((self.state_dir / "up.json").read_bytes())
        found: int | None = up["processes"].get(service)
        return found

    def signal(self, service: str, number: signal.Signals) -> int:
        """Send a signal to a service's process; gives the process."""
        pid = self.pid(service)
        assert pid is not None, f"{service} does not run"
        os.kill(pid, number)
        return pid

    async def kill(self, service: str) -> None:
        """End a service as a crash would, and wait until the supervisor has replaced it."""
        await self.replaced(service, self.signal(service, signal.SIGKILL))

    async def freeze(self, service: str, seconds: float) -> None:
        """Have a service stand still for a while, as on a machine that swaps or is moved."""
        pid = self.signal(service, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def replaced(self, service: str, pid: int) -> None:
        """Wait until another process than `pid` serves."""
        await until(lambda: self.pid(service) not in (pid, None), f"{service} was not started again")

    async def drained(self, service: str) -> float:
        """Stop a service politely; gives the seconds it took to end."""
        began = time.monotonic()
        pid = self.signal(service, signal.SIGTERM)
        await until(lambda: not _is_there(pid), f"{service} did not end after SIGTERM")
        seconds = time.monotonic() - began
        await self.replaced(service, pid)
        return seconds

    # Using it.

    async def upload(self, name: str) -> str:
        """A new image, which no host has in its cache."""
        facts = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
        return await self.client.upload_image(name, BytesIO(os.urandom(IMAGE_BYTES)), **facts)

    async def boot(self, names: Iterable[str], image: str, orders: Orders) -> None:
        """Order a server of each name, all at once, each again and again until it is accepted."""
        await asyncio.gather(*(self._boot(name, image, orders) for name in names))

    async def _boot(self, name: str, image: str, orders: Orders) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    server_id = await self.client.boot(name, image, "1", networks="auto")
                except (aiohttp.ClientError, ApiError) as error:
                    orders.unclear[name] += 1
                    if isinstance(error, ApiError):
                        orders.refusals.append(error)
                    await asyncio.sleep(RETRY)
                else:
                    orders.accepted[server_id] = name
                    orders.is_begun.set()
                    return

    async def delete(self, server_ids: Iterable[str], orders: Orders) -> None:
        """Order the end of servers, all at once, each until the order is accepted or the server gone."""
        await asyncio.gather(*(self._delete(server_id, orders) for server_id in server_ids))

    async def _delete(self, server_id: str, orders: Orders) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.client.delete_server(server_id)
                except (aiohttp.ClientError, ApiError) as error:
                    if isinstance(error, ApiError):
                        if error.status == HTTPStatus.NOT_FOUND:
                            break
                        orders.refusals.append(error)
                    await asyncio.sleep(RETRY)
                else:
                    break
        orders.deleted.add(server_id)
        orders.is_begun.set()

    async def servers(self) -> list[dict[str, Any]]:
        """Every server as the API shows it, once it answers."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await self.client.ask("GET", f"{self.client.compute}/servers/detail?limit=1000")
                except (aiohttp.ClientError, ApiError):
                    await asyncio.sleep(RETRY)
                else:
                    return list(answer["servers"])

    async def active(self, prefix: str, count: int) -> None:
        """Wait until so many servers of this prefix are ACTIVE."""

        async def are_active() -> bool:
            mine = [server for server in await self.servers() if server["name"].startswith(prefix)]
            return [server["status"] for server in mine].count("ACTIVE") >= count

        await until(are_active, f"{count} servers did not get ACTIVE", pause=0.02)

    async def settled(self) -> list[dict[str, Any]]:
        """Every server, once none is on its way to anything and no task runs."""

        async def are_settled() -> bool:
            return not await self.rows(UNFINISHED)

        await until(are_settled, "something is stuck", facts=lambda: self.rows(UNFINISHED))
        return await self.servers()

    # Looking at it.

    async def rows(self, query: str) -> list[Row]:
        """The answer of the database itself."""

        async def work(connection: AsyncConnection) -> list[Row]:
            return [tuple(row) for row in await connection.execute(text(query))]

        return await self.records.read(work)

    def guests(self) -> list[tuple[str, str]]:
        """Host and server of every guest on the hypervisors' disks."""
        found = self.state_dir.glob("compute/*/guests/*.json")
        return sorted((path.parent.parent.name, path.stem) for path in found)

    async def queued(self) -> dict[str, int]:
        """Queues that hold messages, ready or unacknowledged, and how many."""
        lines = (await self.broker.ctl("list_queues", "--no-table-headers", "name", "messages")).splitlines()
        counts = {name: int(count) for name, count in (line.split() for line in lines if line.strip())}
        return {name: count for name, count in counts.items() if count and not name.startswith("reply_")}

    def logged(self) -> list[str]:
        """Lines that the services and their supervisor have written since this was asked last."""
        lines, self.said[:] = list(self.said), []
        for path in sorted((self.state_dir / "log").glob("*.log")):
            written = path.read_bytes()
            fresh = written[self._read.get(path, 0) :]
            self._read[path] = len(written)
            lines += fresh.decode(errors="replace").splitlines()
        return lines


UNFINISHED: Final = """
    SELECT s.id, s.vm, s.task, s.host, t.action, t.attempts
    FROM servers s LEFT JOIN tasks t ON t.server_id = s.id AND t.state = 'running'
    WHERE t.id IS NOT NULL OR (NOT s.is_deleted AND (s.task_id IS NOT NULL OR s.task <> '' OR s.vm = 'building'))
"""


@asynccontextmanager
async def crashing_cloud(state_dir: Path, settings: str = SETTINGS, hosts: int = HOSTS) -> AsyncIterator[CrashingCloud]:
    """A fresh one, with so many hosts in its one compute process."""
    state_dir.mkdir(parents=True, exist_ok=True)
    config = state_dir / "crashes.toml"
    config.write_text(settings)
    said: list[str] = []
    async with (
        PrivateMariaDB(state_dir / "mariadb") as database,
        PrivateRabbitMQ(state_dir / "rabbitmq") as broker,
        detached(_arguments(config, hosts, broker.url, database.url), state_dir, said.append) as running,
        connect(admin(running)) as client,
    ):
        records = await Database.open(database.url, DatabaseSettings())
        try:
            yield CrashingCloud(state_dir, client, broker, database, records, said)
        finally:
            await records.close()


def _arguments(config: Path, hosts: int, bus: str, database: str) -> list[str]:
    places = ["--bus", bus, "--db", database, "--port-base", "0"]
    return ["--config", str(config), "--processes", "--virt", "fake", "--hosts", str(hosts), *places]


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    problem: str,
    *,
    pause: float = 0.1,
    facts: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """Wait for a condition; after PATIENCE seconds fail with the problem, and the facts."""
    ends = time.monotonic() + PATIENCE
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        if time.monotonic() > ends:
            raise AssertionError(f"{problem}: {await facts() if facts else f'after {PATIENCE:g} s'}")
        await asyncio.sleep(pause)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
