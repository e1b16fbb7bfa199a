"""The libvirt that runs inside this process (qemu:///embed): where it keeps its state, and what it needs to start.

libvirt makes sockets below its root, and a socket's path has at most 107 characters. A root that is too long is
therefore reached through a short symbolic link, /tmp/nf-<hash>, that is made anew whenever it is missing.
"""

import fcntl
import hashlib
import os
import pwd
import re
import zlib
from pathlib import Path
from typing import Final

LONGEST_ROOT: Final = 50  # characters that leave room for .../lib/qemu/domain-<id>-<20 of the name>/monitor.sock
QEMU_USER: Final = "libvirt-qemu"
CREATE_QEMU_USER: Final = f"useradd --system --no-create-home --user-group {QEMU_USER}"
QEMU_CONF: Final = """\
# Written by novaflow: the embedded libvirt of one process, run by root, without libvirt's other daemons.
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
remote_display_port_min = {first_port}
"""
_UNBORN: Final = re.compile("<domstatus [^>]*pid='0'")
_FIRST_PORTS: Final = range(5900, 30900, 100)  # below those that the kernel gives to clients


class CannotEmbed(Exception):
    """The embedded libvirt cannot start here; the text says what to do."""


def prepare_root(directory: Path, aliases: Path = Path("/tmp")) -> Path:  # noqa: S108
    """Make the root below `directory` and answer the path by which libvirt is to know it; raises CannotEmbed, OSError."""
    check_user()
    root = directory.absolute() / "libvirt"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        (root / "etc" / "qemu.conf").write_text(QEMU_CONF.format(first_port=_first_port(root)))
    short = shortened(root, aliases)
    if os.geteuid() != 0:
        _keep_out_of_home(short)
    return short


def forget_unborn(root: Path) -> None:
    """Before libvirt opens `root`: forget that guests were starting whose QEMU was not yet there when this root's process was killed.

    libvirt 9 reads of a domain that is starting and has no process, finds nothing to attach to, and waits for its start for
    ever (qemuProcessReconnectHelper). There is no QEMU: it waits for libvirt's word before it becomes one.
    """
    state = root / "run" / "qemu"
    if not state.is_dir() or _is_in_use(state / "driver.pid"):
        return
    for status in state.glob("*.xml"):
        if _UNBORN.search(status.read_text(errors="replace")):
            status.unlink()


def _is_in_use(lock: Path) -> bool:
    """Has another process this libvirt? To be asked before we have it ourselves: closing the file would give up our own lock."""
    if not lock.exists():
        return False
    with lock.open("r+b") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _first_port(root: Path) -> int:
    """Where the ports of the guests' screens begin: apart from those of other processes, for libvirt finds a free one by trying."""
    return _FIRST_PORTS[zlib.crc32(str(root).encode()) % len(_FIRST_PORTS)]


def shortened(root: Path, aliases: Path = Path("/tmp"), longest: int = LONGEST_ROOT) -> Path:  # noqa: S108
    """`root` itself, or a short link to it where libvirt's sockets below would have too long a path; raises CannotEmbed, OSError."""
    return root if len(str(root)) <= longest else _alias(root, aliases)


def _keep_out_of_home(root: Path) -> None:
    """Even with a root of its own an unprivileged libvirt writes to the user's directories; a service may have none."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        os.environ.setdefault(name, str(root / "user"))


def check_user() -> None:
    """As root, libvirt refuses to start when its unprivileged user does not exist, used or not; raises CannotEmbed."""
    if os.geteuid() != 0:
        return
    try:
        pwd.getpwnam(QEMU_USER)
    except KeyError:
        raise CannotEmbed(f"libvirt run by root needs the user {QEMU_USER}: {CREATE_QEMU_USER}") from None


def _alias(root: Path, aliases: Path) -> Path:
    """A link of our own that points to `root`. Another user's link of that name is an attack or an accident: refused."""
    link = aliases / f"nf-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    if not link.is_symlink():
        link.symlink_to(root)
    if link.lstat().st_uid != os.geteuid() or link.readlink() != root:
        raise CannotEmbed(f"{link} is not our link to {root}: remove it")
    return link
