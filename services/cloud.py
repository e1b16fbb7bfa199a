"""A cloud that stays: what `novaflow up` starts, in one process or many, and the files that tell others of it.

The state directory belongs to one running cloud, held by a lock. Beside the records it keeps `effective.toml`, `up.json`
(who runs, and where it listens) and `clouds.yaml` for the clients.
"""

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from novaflow.config import Config
from novaflow.errors import Conflict, Invalid, ServiceUnavailable
from services import settings
from services.groups import one_error
from services.host_names import host_names
from services.loading import loading
from services.private.libvirtd import LibvirtdFailed
from services.private.libvirtds import PrivateLibvirtds
from services.private.mariadb import DatabaseFailed, PrivateMariaDB
from services.private.rabbitmq import BrokerFailed, PrivateRabbitMQ
from services.private_files import write_private
from services.supervisor import Child, supervised

LOCK: Final = "lock"  # held, and naming the process, while a cloud runs
UP: Final = "up.json"
PRIVATE: Final = "private"  # as a URL: a broker, a database or libvirt daemons of the cloud's own
CLOUD_NAME: Final = "novaflow"
# The order of starting: whoever is needed first comes first; draining goes the other way.
ORDER: Final = ("identity", "image", "conductor", "scheduler", "compute", "api")


@contextmanager
def owning(state_dir: Path) -> Iterator[None]:
    """Hold the state directory; raises Conflict when another cloud runs in it."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    up = state_dir / UP
    with (state_dir / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(reason=f"a cloud runs in {state_dir} already (novaflow status, novaflow down)") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        up.unlink(missing_ok=True)  # what a cloud left that was killed here
        yield
        up.unlink(missing_ok=True)


def is_running(state_dir: Path) -> bool:
    """Whether a cloud holds this state directory now."""
    lock = state_dir / LOCK
    if not lock.exists():
        return False
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def owner(state_dir: Path) -> int:
    """The process that holds the state directory of a running cloud."""
    return int((state_dir / LOCK).read_text())


@asynccontextmanager
async def cloud(config: Config, *, processes: bool, on_notice: Callable[[str], None]) -> AsyncIterator[Config]:
    """Run a whole cloud while the block runs; gives the configuration that is in effect.

    Raises PortTaken, ServiceUnavailable, Invalid, or what the broker and the database raise when they cannot be reached.
    """
    async with AsyncExitStack() as stack:
        if processes:
            _check_shared(config, on_notice)
        config = await _with_private_parts(config, Path(config.state_dir).absolute(), stack, on_notice)
        path = settings.save(config)
        if processes:
            await _start_processes(config, path, stack)
        else:
            await _start_here(config, stack)
        write_clouds_yaml(config)
        yield config


def _check_shared(config: Config, on_notice: Callable[[str], None]) -> None:
    if config.bus.url.startswith("memory:"):
        raise Invalid(reason="--processes needs a broker: add --bus private, or --bus amqp://user:password@host:port/")
    if config.database_url.startswith("sqlite"):
        on_notice("the processes share one SQLite file, one writer at a time: --db private is faster under load")


async def _start_here(config: Config, stack: AsyncExitStack) -> None:
    # Imported here: a supervisor that runs everything in other processes need not carry the services itself.
    with loading():
        from services.all_in_one import AFTER, services
        from services.runtime import opened, running

        found = services(ORDER)

    runtime = await stack.enter_async_context(opened(config, "novaflow"))
    await stack.enter_async_context(running(runtime, found, AFTER))
    _write_up(config, {"novaflow": os.getpid()})


async def _start_processes(config: Config, path: Path, stack: AsyncExitStack) -> None:
    def note(children: list[Child]) -> None:
        _write_up(config, {child.name: child.pid for child in children if child.pid})

    commands = {name: _command(name, path, port) for name, port in zip(ORDER, metrics_ports(config), strict=True)}
    children = await stack.enter_async_context(
        supervised(commands, Path(config.state_dir).absolute() / "log", config.drain_timeout, note)
    )
    note(children)


def _command(name: str, config: Path, metrics_port: int) -> tuple[str, ...]:
    """How a service is started; the port is always said, since the environment may name one for all."""
    words = ("--config", str(config), "--metrics-port", str(metrics_port), "--supervised")
    return (sys.executable, "-m", "services.cli", name, *words)


def metrics_ports(config: Config) -> list[int]:
    """A port for each service's metrics: free ones for 0, else `metrics.port` and those that follow; raises Invalid."""
    first = config.metrics.port
    if first == 0:
        return [0] * len(ORDER)
    if not 0 < first <= 65536 - len(ORDER):
        raise Invalid(reason=f"metrics.port is {first}: {len(ORDER)} services need as many ports from there on")
    return list(range(first, first + len(ORDER)))


async def _with_private_parts(
    config: Config, state_dir: Path, stack: AsyncExitStack, on_notice: Callable[[str], None]
) -> Config:
    """Start the servers the cloud is to have of its own, side by side, and name them in the configuration."""
    replace = msgspec.structs.replace
    servers: list[PrivateMariaDB | PrivateRabbitMQ | PrivateLibvirtds] = []
    if config.database.url == PRIVATE:
        on_notice("starting a private MariaDB")
        servers.append(PrivateMariaDB(state_dir / "mariadb"))
    if config.bus.url == PRIVATE:
        on_notice("starting a private RabbitMQ")
        servers.append(PrivateRabbitMQ(state_dir / "rabbitmq"))
    if config.compute.virt == PRIVATE:
        on_notice("starting a private libvirtd for each compute host")
        servers.append(PrivateLibvirtds(state_dir / "libvirtd", host_names(config.compute)))
    for server in servers:
        stack.push_async_callback(server.stop)
    try:
        with one_error():
            async with asyncio.TaskGroup() as starting:
                for server in servers:
                    starting.create_task(server.start())
    except (BrokerFailed, DatabaseFailed, LibvirtdFailed) as error:
        raise ServiceUnavailable(service="a private server", reason=str(error)) from error
    for server in servers:
        if isinstance(server, PrivateMariaDB):
            config = replace(config, database=replace(config.database, url=server.url))
        elif isinstance(server, PrivateLibvirtds):
            config = replace(config, compute=replace(config.compute, virt=server.uri))
        else:
            config = replace(config, bus=replace(config.bus, url=server.url))
    return config


def addresses(config: Config) -> dict[str, str]:
    """Where a client finds what, for people to read."""
    return {
        "identity": f"{config.identity_url}/v3",
        "identity (admin)": f"http://{config.identity.host}:{config.identity.admin_port}/v3",
        "image": config.image_url,
        "compute": f"{config.api_url}/v2.1",
        "ec2": config.ec2_url,
    }


def _write_up(config: Config, pids: dict[str, int | None]) -> None:
    facts = {"pid": os.getpid(), "processes": pids, "addresses": addresses(config)}
    write_private(Path(config.state_dir).absolute() / UP, json.dumps(facts, indent=1) + "\n")


def admin_password(config: Config) -> str:
    """The admin's password: configured, or made at the first start."""
    if config.identity.admin_password:
        return config.identity.admin_password
    path = Path(config.state_dir).absolute() / "admin-password"
    try:
        return path.read_text().strip()
    except FileNotFoundError as error:
        raise Invalid(reason=f"{path} is missing: the identity service has not started here yet") from error


def write_clouds_yaml(config: Config) -> Path:
    """Write `clouds.yaml` for the OpenStack clients. JSON strings are YAML strings, so nothing needs escaping twice."""
    quoted = json.dumps
    text = f"""\
clouds:
  {CLOUD_NAME}:
    auth:
      auth_url: {quoted(config.identity_url + "/v3")}
      username: {quoted(config.identity.admin_user)}
      password: {quoted(admin_password(config))}
      project_name: {quoted(config.identity.admin_project)}
      user_domain_id: "default"
      project_domain_id: "default"
    region_name: {quoted(config.identity.region)}
    identity_api_version: "3"
    interface: "public"
"""
    return write_private(Path(config.state_dir).absolute() / "clouds.yaml", text)
