"""A libvirt daemon of our own: a private libvirtd with its own directories, socket, host UUID and guests.

Unlike the libvirt inside a process it can be reached by others, so guests can move between two of them while running. It is
the unprivileged kind of daemon (qemu:///session) that takes all its places from its environment. For root, whose daemon would
use the machine's directories, it runs in a user namespace in which it is somebody else; outside it is root still, and
so are its guests' files. What it started ends with it, guests included, even if this process is killed.
"""

import asyncio
import os
import pwd
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Final

from novaflow.virt.libvirt.embed import CannotEmbed, shortened
from services.ports import accepts
from services.private import keeper
from services.private.process import POLL, STOP_TIMEOUT, bare_environment, installed, until_ready
from services.private.startable import Startable

LONGEST_ROOT: Final = 25  # leaves room for /libvirt/qemu/channel/target/domain-<id>-<name>/org.qemu.guest_agent.0
_START_TIMEOUT: Final = 60.0  # seconds
_SOMEBODY: Final = "nobody"  # who root is inside the namespace: libvirt insists on a user that has a name
_PORTS: Final = 64  # of each kind per daemon
# Each daemon only knows which ports its own guests will take, so that two that start guests at the same time would choose the same.
# Screens are above those of other libvirts, below the ports that the kernel gives to clients.
_SCREENS: Final = range(6464, 32768, _PORTS)
_MIGRATIONS: Final = range(49152, 65536, _PORTS)

_DAEMON_CONF: Final = """\
host_uuid = "{uuid}"
log_outputs = "3:stderr"
"""
_QEMU_CONF: Final = """\
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
remote_display_port_min = {screens}
remote_display_port_max = {last_screen}
migration_port_min = {migrations}
migration_port_max = {last_migration}
"""


class LibvirtdFailed(Exception):
    """The private libvirtd is not installed or did not start; says why."""


class PrivateLibvirtd(Startable):
    """One daemon below `root`, a directory of its own that keeps the definitions of its guests."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._short = self._root
        self._log = self._root / "libvirtd.log"
        self._keeper: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def uri(self) -> str:
        """A libvirt URI, once it was started. Other daemons of this user reach it by the same."""
        return f"qemu+unix:///session?socket={self._socket}"

    @property
    def pid(self) -> int | None:
        """The daemon's process; None when it does not run."""
        if self._pid is not None and not Path(f"/proc/{self._pid}").exists():
            self._pid = None
        return self._pid

    async def start(self) -> None:
        """Start the daemon and wait until it answers; raises LibvirtdFailed. Guests that outlived a killed one are found again."""
        if self.pid is not None:
            return
        try:
            self._prepare()
        except (CannotEmbed, OSError) as error:
            raise LibvirtdFailed(str(error)) from error
        if self._keeper is None:
            self._keeper = self._keep()
        try:
            self._pid = await asyncio.to_thread(_order, self._keeper)
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the daemon and its guests."""
        kept_by, self._keeper, self._pid = self._keeper, None, None
        if kept_by is None:
            return
        assert kept_by.stdin and kept_by.stdout  # noqa: S101, PT018 - asked for
        kept_by.stdin.close()
        kept_by.stdout.close()
        deadline = time.monotonic() + STOP_TIMEOUT
        while kept_by.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(POLL)
        if kept_by.poll() is None:
            raise LibvirtdFailed(f"the guests of {self._root} did not end within {STOP_TIMEOUT:g} s")
        if self._short != self._root:
            self._short.unlink(missing_ok=True)

    async def kill9(self) -> None:
        """End the daemon as a crash would. Its guests go on."""
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(STOP_TIMEOUT):
                while self.pid is not None:
                    await asyncio.sleep(POLL)

    @property
    def _socket(self) -> Path:
        return self._short / "run" / "libvirt" / "libvirt-sock"

    def _prepare(self) -> None:
        for name in ("", "run", "cache", "home", "libvirt"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._short = shortened(self._root, longest=LONGEST_ROOT)
        daemon = self._root / "libvirt" / "libvirtd.conf"
        if not daemon.exists():  # a host's UUID stays the same
            daemon.write_text(_DAEMON_CONF.format(uuid=uuid.uuid4()))
        screens, migrations = random.choice(_SCREENS), random.choice(_MIGRATIONS)  # noqa: S311 - not a secret
        (self._root / "libvirt" / "qemu.conf").write_text(
            _QEMU_CONF.format(
                screens=screens,
                last_screen=screens + _PORTS - 1,
                migrations=migrations,
                last_migration=migrations + _PORTS - 1,
            )
        )

    def _keep(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, *as_somebody(), program()],
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        return bare_environment() | {
            "HOME": str(self._short / "home"),
            "XDG_CONFIG_HOME": str(self._short),
            "XDG_CACHE_HOME": str(self._short / "cache"),
            "XDG_RUNTIME_DIR": str(self._short / "run"),
        }

    async def _until_ready(self) -> None:
        await until_ready(
            "libvirtd",
            lambda: accepts(asyncio.open_unix_connection(self._socket)),
            lambda: None if self.pid is not None else "ended",
            log=self._log,
            seconds=_START_TIMEOUT,
            failure=LibvirtdFailed,
        )


def program() -> str:
    """Where libvirtd is; raises LibvirtdFailed."""
    return installed("libvirtd", package="libvirt-daemon", failure=LibvirtdFailed)


def as_somebody() -> list[str]:
    """What root puts before the command; raises LibvirtdFailed where the kernel or a container forbids it."""
    if os.geteuid() != 0:
        return []
    somebody = pwd.getpwnam(_SOMEBODY)
    command = ["unshare", "--user", f"--map-user={somebody.pw_uid}", f"--map-group={somebody.pw_gid}", "--"]
    try:
        done = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=_START_TIMEOUT, check=False)
    except OSError as error:
        raise LibvirtdFailed(f"a libvirtd of root's own needs a user namespace: {error}") from error
    if done.returncode != 0:
        raise LibvirtdFailed(f"a libvirtd of root's own needs a user namespace: {done.stderr.strip()}")
    return command


def _order(kept_by: "subprocess.Popen[bytes]") -> int:
    """Have the keeper start the daemon; its process id."""
    assert kept_by.stdin and kept_by.stdout  # noqa: S101, PT018 - asked for
    try:
        kept_by.stdin.write(b"start\n")
        kept_by.stdin.flush()
        return int(kept_by.stdout.readline())
    except (OSError, ValueError) as error:
        raise LibvirtdFailed("the keeper of libvirtd died") from error
