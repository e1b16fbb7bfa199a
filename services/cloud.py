"""A cloud that stays: what `novaflow up` starts, in one process or many, and the files that tell others of it.

The state directory belongs to one running cloud, held by a lock. Beside the records it keeps `effective.toml`, `up.json`
(who runs, and where it listens) and `clouds.yaml` for the clients.
"""

import fcntl
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from novaflow.config import Config
from novaflow.errors import Conflict, Invalid, ServiceUnavailable
from services import settings
from services.private.mariadb import DatabaseFailed, PrivateMariaDB
from services.private.rabbitmq import BrokerFailed, PrivateRabbitMQ
from services.supervisor import Child, supervised

PRIVATE: Final = "private"  # as a URL: a broker or database of the cloud's own
CLOUD_NAME: Final = "novaflow"
# The order of starting: whoever is needed first comes first; draining goes the other way.
ORDER: Final = ("identity", "image", "conductor", "scheduler", "compute", "api")


@contextmanager
def owning(state_dir: Path) -> Iterator[None]:
    """Hold the state directory; raises Conflict when another cloud runs in it."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(reason=f"a cloud runs in {state_dir} already (novaflow status, novaflow down)") from None
        yield


def is_running(state_dir: Path) -> bool:
    """Whether a cloud holds this state directory now."""
    lock = state_dir / "lock"
    if not lock.exists():
        return False
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@asynccontextmanager
async def cloud(config: Config, *, processes: bool, on_notice: Callable[[str], None]) -> AsyncIterator[Config]:
    """Run a whole cloud while the block runs; gives the configuration that is in effect.

    Raises PortTaken, ServiceUnavailable, Invalid, or what the broker and the database raise when they cannot be reached.
    """
    async with AsyncExitStack() as stack:
        config = await _with_private_parts(config, Path(config.state_dir).absolute(), stack, on_notice)
        if processes and config.bus.url.startswith("memory:"):
            raise Invalid(reason="--processes needs a broker: --bus amqp://user:password@host:port/ or --bus private")
        path = settings.save(config)
        if processes:
            await _start_processes(config, path, stack)
        else:
            await _start_here(config, stack)
        write_clouds_yaml(config)
        yield config


async def _start_here(config: Config, stack: AsyncExitStack) -> None:
    # Imported here: a supervisor that runs everything in other processes need not carry the services itself.
    from services.all_in_one import service
    from services.runtime import opened, running

    runtime = await stack.enter_async_context(opened(config, "novaflow"))
    await stack.enter_async_context(running(runtime, [service(name) for name in ORDER]))
    _write_up(config, {"novaflow": os.getpid()})


async def _start_processes(config: Config, path: Path, stack: AsyncExitStack) -> None:
    def note(children: list[Child]) -> None:
        _write_up(config, {child.name: child.pid for child in children if child.pid})

    children = await stack.enter_async_context(
        supervised(ORDER, path, Path(config.state_dir) / "log", config.drain_timeout, note)
    )
    note(children)


async def _with_private_parts(
    config: Config, state_dir: Path, stack: AsyncExitStack, on_notice: Callable[[str], None]
) -> Config:
    try:
        return await _started(config, state_dir, stack, on_notice)
    except (BrokerFailed, DatabaseFailed) as error:
        raise ServiceUnavailable(service="a private server", reason=str(error)) from error


async def _started(config: Config, state_dir: Path, stack: AsyncExitStack, on_notice: Callable[[str], None]) -> Config:
    replace = msgspec.structs.replace
    if config.database.url == PRIVATE:
        on_notice("starting a private MariaDB")
        database = PrivateMariaDB(state_dir / "mariadb")
        await database.start()
        stack.push_async_callback(database.stop)
        config = replace(config, database=replace(config.database, url=database.url))
    if config.bus.url == PRIVATE:
        on_notice("starting a private RabbitMQ")
        broker = PrivateRabbitMQ(state_dir / "rabbitmq")
        await broker.start()
        stack.push_async_callback(broker.stop)
        config = replace(config, bus=replace(config.bus, url=broker.url))
    return config


def addresses(config: Config) -> dict[str, str]:
    """Where a client finds what, for people to read."""
    return {
        "identity": f"{config.identity_url}/v3",
        "identity (admin)": f"http://{config.identity.host}:{config.identity.admin_port}/v3",
        "image": config.image_url,
        "compute": f"{config.api_url}/v2.1",
    }


def _write_up(config: Config, pids: dict[str, int | None]) -> None:
    facts = {"pid": os.getpid(), "processes": pids, "addresses": addresses(config)}
    settings.write_private(Path(config.state_dir).absolute() / "up.json", json.dumps(facts, indent=1) + "\n")


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
    return settings.write_private(Path(config.state_dir).absolute() / "clouds.yaml", text)
