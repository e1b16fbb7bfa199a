"""A MariaDB of our own: a private server in a private directory, for demonstrations, benchmarks and tests.

It listens on loopback only, has its own port, socket, data and user with a random password, and takes nothing from the
machine's configuration but the installed program, so it neither meets nor disturbs another MariaDB. Works for root
and for ordinary users. What it started it ends, even if this process is killed.
"""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_POLL: Final = 0.02  # seconds
_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 30.0
_USER: Final = "novaflow"
_DATABASE: Final = "novaflow"
_LONGEST_SOCKET: Final = 100  # characters; the kernel takes 107

_SETTINGS: Final = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_bin",
    "--max-connections=500",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=8M",
    "--innodb-buffer-pool-size=128M",
    "--innodb-log-file-size=32M",
)
_NOT_DURABLE: Final = ("--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=OFF", "--innodb-flush-method=nosync")

_ACCOUNT: Final = """\
CREATE DATABASE IF NOT EXISTS {database};
CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1';
ALTER USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'127.0.0.1';
"""


class DatabaseFailed(Exception):
    """The private MariaDB is not installed, did not start, or did not do as told; says why."""


class PrivateMariaDB:
    """One server below `root`, a directory of its own that keeps its data. The port is chosen once.

    Not `durable`: what was committed survives a crash of the server, but not one of the machine.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self._root = root.absolute()
        self._durable = durable
        self._port = _free_port()
        self._password = secrets.token_hex(16)
        self._socket_dir: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """A SQLAlchemy URL of its database, with credentials."""
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        """The same for a database of another name, which the user may create."""
        return f"mysql+asyncmy://{_USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process; None when it does not run."""
        return None if self._server is None or self._server.poll() is not None else self._server.pid

    async def start(self) -> None:
        """Start the server, creating its data at first, and wait until it takes connections; raises DatabaseFailed."""
        if self.pid is not None:
            return
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tmpdir.mkdir(exist_ok=True)
        if not (self._root / "data" / "mysql").is_dir():
            await asyncio.to_thread(self._install)
        account = self._root / "account.sql"
        _write_private(account, _ACCOUNT.format(database=_DATABASE, user=_USER, password=self._password))
        self._server = self._spawn(account)
        try:
            await self._until_ready(self._server)
        except BaseException:
            await self.kill9()
            raise
        finally:
            account.unlink()

    async def stop(self) -> None:
        """End the server cleanly; by force if it does not end in time."""
        if self._server is not None:
            self._server.terminate()
            deadline = time.monotonic() + _STOP_TIMEOUT
            while self._server.poll() is None and time.monotonic() < deadline:
                await asyncio.sleep(_POLL)
        await self.kill9()
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None

    async def kill9(self) -> None:
        """End the server as a crash would. Its data stays as it is."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    async def restart(self) -> None:
        """Start the server again, after ending it cleanly if it runs."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _tmpdir(self) -> Path:
        """Names of temporary tables are made of a process id, which another container that shares /tmp may have as well."""
        return self._root / "tmp"

    def _install(self) -> None:
        """Make the data beside its place and move it there when it is whole."""
        unfinished = self._root / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [
            program("mariadb-install-db"),
            "--no-defaults",
            "--skip-test-db",
            "--skip-name-resolve",
            f"--datadir={unfinished}",
            f"--tmpdir={self._tmpdir}",
            *_as_user(),
            *(setting for setting in _SETTINGS if "innodb" in setting),
            *_NOT_DURABLE,
        ]
        try:
            done = subprocess.run(
                command, cwd=self._root, capture_output=True, text=True, timeout=_START_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise DatabaseFailed(f"mariadb-install-db did not end within {_START_TIMEOUT:g} s") from None
        if done.returncode != 0:
            raise DatabaseFailed(f"mariadb-install-db: {_end_of(done.stdout + done.stderr)}")
        unfinished.rename(self._root / "data")

    def _spawn(self, account: Path) -> "subprocess.Popen[bytes]":
        command = [
            *_bound_to_us(),
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self._root / 'data'}",
            f"--tmpdir={self._tmpdir}",
            f"--port={self._port}",
            f"--socket={self._socket()}",
            f"--pid-file={self._root / 'mariadb.pid'}",
            f"--init-file={account}",
            *_as_user(),
            *_SETTINGS,
            *(() if self._durable else _NOT_DURABLE),
        ]
        with (self._root / "mariadb.log").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _socket(self) -> Path:
        """Nobody here uses it, but the server insists on one, with a short path."""
        wanted = self._root / "socket"
        if len(str(wanted)) <= _LONGEST_SOCKET:
            return wanted
        if self._socket_dir is None:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="novaflow-"))
        return self._socket_dir / "socket"

    async def _until_ready(self, server: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not await _greets(self._port):
            if server.poll() is not None:
                raise DatabaseFailed(f"MariaDB ended with status {server.returncode}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise DatabaseFailed(f"MariaDB did not answer within {_START_TIMEOUT:g} s: {self._last_words()}")
            await asyncio.sleep(_POLL)

    def _last_words(self) -> str:
        return _end_of((self._root / "mariadb.log").read_text(errors="replace"))


def _end_of(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines()[-8:] if line.strip()) or "it said nothing"


async def _greets(port: int) -> bool:
    """Whether a server on this port starts to talk, as MySQL's do; listening alone is not enough."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        return bool(await asyncio.wait_for(reader.read(1), _START_TIMEOUT))
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def program(name: str) -> str:
    """Where an installed program is; raises DatabaseFailed."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise DatabaseFailed(f"{name} is not installed (on Debian and Ubuntu: apt-get install mariadb-server)")
    return path


def _as_user() -> list[str]:
    """The server refuses to run as root unless told to."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _write_private(path: Path, text: str) -> None:
    """Nobody else can read it, not even for a moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _bound_to_us() -> list[str]:
    """Have the kernel end the process when this one dies without a word, where util-linux is there to ask it."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM", "--"]
