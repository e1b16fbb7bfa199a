"""A RabbitMQ of our own: a private node in a private directory, for demonstrations, benchmarks and tests.

It listens on loopback only, has its own node name, ports, port mapper (epmd), cookie, database and user, and takes
nothing from the machine's configuration but the installed program, so it neither meets nor disturbs another RabbitMQ. Works for root and
for ordinary users. What it started it ends, even if this process is killed.
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.private.tls import PrivateTls

_PLACES: Final = ("/usr/lib/rabbitmq/lib", "/opt/rabbitmq", "/usr/local/lib/rabbitmq/lib")
_POLL: Final = 0.05  # seconds
_START_TIMEOUT: Final = 90.0
_STOP_TIMEOUT: Final = 30.0
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


class PrivateRabbitMQ:
    """One node below `root`, a directory of its own. Ports are chosen once, so a restarted node is found again.

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
        self._root = root
        self._port, self._tls_port, self._dist_port, own_epmd_port = free_ports(4)
        self._epmd_port = own_epmd_port if epmd_port is None else epmd_port
        self._config = config if tls is None else config + tls.config(self._tls_port)
        self._listens_on = [self._port] if tls is None else [self._port, self._tls_port]
        self._cookie = secrets.token_hex(16) if cookie is None else cookie
        self._node = f"novaflow-{secrets.token_hex(4)}@localhost"
        self._password = secrets.token_hex(16) if password is None else password
        self._programs: Path | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with its credentials."""
        return f"amqp://{_USER}:{self._password}@127.0.0.1:{self._port}/"

    @property
    def tls_url(self) -> str:
        """The same, encrypted."""
        return f"amqps://{_USER}:{self._password}@127.0.0.1:{self._tls_port}/"

    @property
    def node(self) -> str:
        """Its name among Erlang nodes."""
        return self._node

    @property
    def user(self) -> str:
        """The one user, an administrator."""
        return _USER

    @property
    def port(self) -> int:
        """The AMQP port."""
        return self._port

    @property
    def tls_port(self) -> int:
        """The port of AMQP over TLS."""
        return self._tls_port

    @property
    def pid(self) -> int | None:
        """The node's process; None when it does not run."""
        return None if self._server is None or self._server.poll() is not None else self._server.pid

    async def start(self) -> None:
        """Start the node and wait until it takes connections; raises BrokerFailed."""
        if self.pid is not None:
            return
        self._prepare()
        if (self._epmd is None or self._epmd.poll() is not None) and not await _listens(self._epmd_port):
            self._epmd = self._spawn("epmd", [_program("epmd"), "-port", str(self._epmd_port), "-address", "127.0.0.1"])
            await self._until_listening(self._epmd, self._epmd_port, "epmd")
        self._server = self._spawn("rabbitmq", [str(self._program("rabbitmq-server"))])
        try:
            for port in self._listens_on:
                await self._until_listening(self._server, port, "rabbitmq")
        except BaseException:
            self._kill(self._server)
            raise

    async def stop(self) -> None:
        """End the node cleanly, and its port mapper; by force if it does not end in time."""
        if self._server is not None:
            await self._end(self._server)
            self._server = None
        if self._epmd is not None:
            await self._end(self._epmd)
            self._epmd = None

    async def kill9(self) -> None:
        """End the node as a crash would. Its directory stays as it is."""
        if self._server is not None:
            self._kill(self._server)
            self._server = None

    async def restart(self) -> None:
        """Start the node again, after ending it if it runs."""
        if self._server is not None:
            await self._end(self._server)
            self._server = None
        await self.start()

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this node and return its output; raises BrokerFailed with what it says."""
        command = [str(self._program("rabbitmqctl")), "-q", "-n", self._node, *arguments]
        return await asyncio.to_thread(_run, command, self._environment())

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _prepare(self) -> None:
        for name in ("home", "mnesia", "log"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(
            self._root / "rabbitmq.conf",
            _CONFIG.format(port=self._port, user=_USER, password=self._password) + self._config,
        )
        # Erlang takes no cookie that others may read.
        _write_private(self._root / "home" / ".erlang.cookie", self._cookie)
        (self._root / "enabled_plugins").write_text("[].\n")
        (self._root / "rabbitmq-env.conf").write_text("")

    def _environment(self) -> dict[str, str]:
        root = self._root
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        return kept | {
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
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # The start script then becomes the node instead of a parent that forwards signals to it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _program(self, name: str) -> Path:
        if self._programs is None:
            self._programs = programs()
        return self._programs / name

    def _spawn(self, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self._root / "log" / f"{name}.out").open("ab") as output:
            return subprocess.Popen(
                [*_bound_to_us(), *command],
                env=self._environment(),
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _until_listening(self, process: "subprocess.Popen[bytes]", port: int, name: str) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not await _listens(port):
            if process.poll() is not None:
                raise BrokerFailed(f"{name} ended with status {process.returncode}: {self._last_words(name)}")
            if time.monotonic() > deadline:
                raise BrokerFailed(f"{name} did not listen within {_START_TIMEOUT:g} s: {self._last_words(name)}")
            await asyncio.sleep(_POLL)

    def _last_words(self, name: str) -> str:
        text = (self._root / "log" / f"{name}.out").read_text(errors="replace")
        return " / ".join(line.strip() for line in text.splitlines()[-8:] if line.strip()) or "it said nothing"

    async def _end(self, process: "subprocess.Popen[bytes]") -> None:
        if process.poll() is None:
            process.terminate()
        deadline = time.monotonic() + _STOP_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(_POLL)
        self._kill(process)

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        # The whole session: a node has helpers for name look-ups and disk space.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _write_private(path: Path, text: str) -> None:
    """Nobody else can read it, not even for a moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def free_ports(count: int) -> list[int]:
    """Different TCP ports of loopback nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for sock in held:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()


def programs() -> Path:
    """The directory of the installed programs; raises BrokerFailed. The programs themselves: Debian's wrappers in /usr/sbin insist on root or the user rabbitmq."""
    found = [path for place in _PLACES for path in Path(place).glob("rabbitmq_server-*/sbin/rabbitmq-server")]
    if not found:
        raise BrokerFailed("RabbitMQ is not installed (on Debian and Ubuntu: apt-get install rabbitmq-server)")
    return max(found).parent


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BrokerFailed(f"{name} is not installed (on Debian and Ubuntu: apt-get install erlang-base)")
    return path


def _bound_to_us() -> list[str]:
    """Have the kernel end the process when this one dies without a word, where util-linux is there to ask it."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM", "--"]
