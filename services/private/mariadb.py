"""A MariaDB of our own: a private server in a private directory, for demonstrations, benchmarks and tests.

It listens on loopback only, has its own port, socket, data and user with a random password, and takes nothing from the
machine's configuration but the installed program, so it neither meets nor disturbs another MariaDB. Works for root
and for ordinary users. What it started it ends, even if this process is killed.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from services.ports import close, free_ports
from services.private.process import OwnProcess, end_of, installed
from services.private.server import LOOPBACK, PrivateServer
from services.private_files import write_private

_START_TIMEOUT: Final = 60.0  # seconds
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


class PrivateMariaDB(PrivateServer):
    """One server below `root`, a directory of its own that keeps its data.

    Not `durable`: what was committed survives a crash of the server, but not one of the machine.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        super().__init__(*free_ports(LOOPBACK, 1))
        self._root = root.absolute()
        self._durable = durable
        self._password = secrets.token_hex(16)
        self._socket_dir: Path | None = None

    @property
    def url(self) -> str:
        """A SQLAlchemy URL of its database, with credentials."""
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        """The same for a database of another name, which the user may create."""
        return f"mysql+asyncmy://{_USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    async def start(self) -> None:
        """Start the server, creating its data at first, and wait until it takes connections; raises DatabaseFailed."""
        if self.pid is not None:
            return
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tmpdir.mkdir(exist_ok=True)
        if not (self._root / "data" / "mysql").is_dir():
            await asyncio.to_thread(self._install)
        account = self._root / "account.sql"
        write_private(account, _ACCOUNT.format(database=_DATABASE, user=_USER, password=self._password))
        self._server = self._spawn(account)
        try:
            await self._server.until(partial(_greets, self._port), _START_TIMEOUT)
        except BaseException:
            await self.kill9()
            raise
        finally:
            account.unlink()

    async def stop(self) -> None:
        """End the server cleanly; by force if it does not end in time."""
        await self._end()
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None

    async def restart(self) -> None:
        """Start the server again, after ending it cleanly if it runs."""
        await self.stop()
        await self.start()

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
            raise DatabaseFailed(f"mariadb-install-db: {end_of(done.stdout + done.stderr)}")
        unfinished.rename(self._root / "data")

    def _spawn(self, account: Path) -> OwnProcess:
        command = [
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
        log = self._root / "mariadb.log"
        return OwnProcess("MariaDB", command, log=log, cwd=self._root, failure=DatabaseFailed)

    def _socket(self) -> Path:
        """Nobody here uses it, but the server insists on one, with a short path."""
        wanted = self._root / "socket"
        if len(str(wanted)) <= _LONGEST_SOCKET:
            return wanted
        if self._socket_dir is None:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="novaflow-"))
        return self._socket_dir / "socket"


async def _greets(port: int) -> bool:
    """Whether a server on this port starts to talk, as MySQL's do; listening alone is not enough."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            return bool(await reader.read(1))
    except (OSError, TimeoutError):
        return False
    finally:
        await close(writer)


def program(name: str) -> str:
    """Where an installed program is; raises DatabaseFailed."""
    return installed(name, package="mariadb-server", failure=DatabaseFailed)


def _as_user() -> list[str]:
    """The server refuses to run as root unless told to."""
    return ["--user=root"] if os.geteuid() == 0 else []
