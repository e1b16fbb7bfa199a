"""A RabbitMQ of our own: a private node in a private directory, for demonstrations, benchmarks and tests.

It listens on loopback only, has its own node name, ports, port mapper (epmd), cookie, database and user, and takes
nothing from the machine's configuration but the installed program, so it neither meets nor disturbs another RabbitMQ. Works for root and
for ordinary users. What it started it ends, even if this process is killed.
"""

import asyncio
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from services.ports import accepts, free_ports
from services.private.process import OwnProcess, bare_environment, installed
from services.private.server import LOOPBACK, PrivateServer
from services.private.tls import PrivateTls
from services.private_files import write_private

_PLACES: Final = ("/usr/lib/rabbitmq/lib", "/opt/rabbitmq", "/usr/local/lib/rabbitmq/lib")
_START_TIMEOUT: Final = 90.0  # seconds
_CTL_TIMEOUT: Final = 60.0
_USER: Final = "novaflow"

_CONFIG: Final = """\
listeners.tcp.local = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
loopback_users = none
log.file.level = warning
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 50MB
"""
# Schedulers that spin while they wait cost a small machine more than they give.
_VM_ARGS: Final = "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


class BrokerFailed(Exception):
    """The private RabbitMQ is not installed, did not start, or did not do as told; says why."""


class PrivateRabbitMQ(PrivateServer):
    """One node below `root`, a directory of its own.

    `config` is added to its rabbitmq.conf; with `tls` it listens on `tls_port` too. Nodes that shall find each other get the same `epmd_port`, whose port mapper
    belongs to the first of them that starts, and the same `cookie`; a cluster has one user, and so one `password`.
    """

    def __init__(
        self,
        root: Path,
        *,
        config: str = "",
        epmd_port: int | None = None,
        cookie: str | None = None,
        password: str | None = None,
        tls: PrivateTls | None = None,
    ) -> None:
        port, self._tls_port, self._dist_port, own_epmd_port = free_ports(LOOPBACK, 4)
        super().__init__(port)
        self._root = root
        self._epmd_port = own_epmd_port if epmd_port is None else epmd_port
        self._config = config if tls is None else config + tls.config(self._tls_port)
        self._listens_on = [self._port] if tls is None else [self._port, self._tls_port]
        self._cookie = secrets.token_hex(16) if cookie is None else cookie
        self._node = f"novaflow-{secrets.token_hex(4)}@localhost"
        self._password = secrets.token_hex(16) if password is None else password
        self._programs: Path | None = None
        self._epmd: OwnProcess | None = None

    @property
    def url(self) -> str:
        """Where it listens, with its credentials."""
        return f"amqp://{_USER}:{self._password}@{LOOPBACK}:{self._port}/"

    @property
    def tls_url(self) -> str:
        """The same, encrypted."""
        return f"amqps://{_USER}:{self._password}@{LOOPBACK}:{self._tls_port}/"

    @property
    def node(self) -> str:
        """Its name among Erlang nodes."""
        return self._node

    @property
    def user(self) -> str:
        """The one user, an administrator."""
        return _USER

    @property
    def tls_port(self) -> int:
        """The port of AMQP over TLS."""
        return self._tls_port

    async def start(self) -> None:
        """Start the node and wait until it takes connections; raises BrokerFailed."""
        if self.pid is not None:
            return
        self._prepare()
        if (self._epmd is None or self._epmd.pid is None) and not await _listens(self._epmd_port):
            epmd = installed("epmd", package="erlang-base", failure=BrokerFailed)
            self._epmd = self._spawn("epmd", [epmd, "-port", str(self._epmd_port), "-address", LOOPBACK])
            await self._epmd.until(partial(_listens, self._epmd_port), _START_TIMEOUT)
        self._server = self._spawn("rabbitmq", [str(self._program("rabbitmq-server"))])
        try:
            for port in self._listens_on:
                await self._server.until(partial(_listens, port), _START_TIMEOUT)
        except BaseException:
            self._server.kill()
            raise

    async def stop(self) -> None:
        """End the node cleanly, and its port mapper; by force if it does not end in time."""
        await self._end()
        if self._epmd is not None:
            await self._epmd.end()
            self._epmd = None

    async def restart(self) -> None:
        """Start the node again, after ending it if it runs."""
        await self._end()
        await self.start()

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this node and return its output; raises BrokerFailed with what it says."""
        command = [str(self._program("rabbitmqctl")), "-q", "-n", self._node, *arguments]
        return await asyncio.to_thread(_run, command, self._environment())

    def _prepare(self) -> None:
        for name in ("home", "mnesia", "log"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(
            self._root / "rabbitmq.conf",
            _CONFIG.format(port=self._port, user=_USER, password=self._password) + self._config,
        )
        # Erlang takes no cookie that others may read.
        write_private(self._root / "home" / ".erlang.cookie", self._cookie)
        (self._root / "enabled_plugins").write_text("[].\n")
        (self._root / "rabbitmq-env.conf").write_text("")

    def _environment(self) -> dict[str, str]:
        root = self._root
        return bare_environment() | {
            "HOME": str(root / "home"),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(root / "mnesia"),
            "RABBITMQ_LOG_BASE": str(root / "log"),
            "RABBITMQ_CONFIG_FILE": str(root / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(root / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(root / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(root / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _VM_ARGS,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            # The start script then becomes the node instead of a parent that forwards signals to it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _program(self, name: str) -> Path:
        if self._programs is None:
            self._programs = programs()
        return self._programs / name

    def _spawn(self, name: str, command: Sequence[str]) -> OwnProcess:
        log = self._root / "log" / f"{name}.out"
        return OwnProcess(name, command, log=log, cwd=self._root, failure=BrokerFailed, environment=self._environment())


def _run(command: list[str], environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_CTL_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise BrokerFailed(f"rabbitmqctl {command[4]} did not end within {_CTL_TIMEOUT:g} s") from None
    if done.returncode != 0:
        raise BrokerFailed(f"rabbitmqctl {command[4]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


async def _listens(port: int) -> bool:
    return await accepts(asyncio.open_connection(LOOPBACK, port))


def programs() -> Path:
    """The directory of the installed programs; raises BrokerFailed. The programs themselves: Debian's wrappers in /usr/sbin insist on root or the user rabbitmq."""
    found = [path for place in _PLACES for path in Path(place).glob("rabbitmq_server-*/sbin/rabbitmq-server")]
    if not found:
        raise BrokerFailed("RabbitMQ is not installed (on Debian and Ubuntu: apt-get install rabbitmq-server)")
    return max(found).parent
