"""The guest's agent: Debian's own qemu-guest-agent with the libraries that it needs, for an initramfs."""

import re
import stat
import subprocess
from importlib import resources
from pathlib import Path
from typing import Final

from novaflow.models import Value
from novaflow.virt.guest.initramfs import Entry
from novaflow.virt.guest.sources import CannotBuild, Say, unpack

MODULE: Final = "virtio_console"  # the driver of the port that the agent listens at
_PACKAGE: Final = "qemu-guest-agent"
_PROGRAM: Final = "usr/sbin/qemu-ga"
_LIBRARY: Final = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_LOST: Final = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)
_LDD_SECONDS: Final = 10.0


class Agent(Value, frozen=True, kw_only=True):
    """The program, and its libraries with its loader, where they are on this machine."""

    program: Path
    libraries: tuple[Path, ...]


def find_agent(downloads: Path, say: Say, root: Path = Path("/")) -> Agent:
    """The agent that is installed here, or else the distribution's package, unpacked below `downloads`; raises CannotBuild.

    It is not installed for the guest's sake: in a machine that is a guest itself it would start to serve that machine's host.
    """
    found = [path for path in (root / _PROGRAM, downloads / "agent" / _PROGRAM) if path.is_file()]
    if not found:
        say(f"fetching the package {_PACKAGE}")
        found = [unpack([_PACKAGE], downloads / "agent") / _PROGRAM]
    return Agent(program=found[0], libraries=_libraries(found[0]))


def agent_entries(agent: Agent) -> list[Entry]:
    """What the initramfs has more: the libraries where the loader looks for them, and what the agent calls to set a password."""
    files = {f"bin/{agent.program.name}": agent.program.read_bytes(), "bin/chpasswd": chpasswd_script()}
    files |= {str(path).lstrip("/"): path.read_bytes() for path in agent.libraries}
    directories = {str(parent) for name in files for parent in Path(name).parents} - {".", "bin", "lib"}
    return [
        *(Entry(name=name, mode=stat.S_IFDIR | 0o755) for name in sorted(directories)),
        *(Entry(name=name, mode=stat.S_IFREG | 0o755, data=data) for name, data in sorted(files.items())),
    ]


def chpasswd_script() -> bytes:
    """Debian's busybox has no chpasswd."""
    return resources.files("novaflow.virt.guest").joinpath("chpasswd.sh").read_bytes()


def _libraries(program: Path) -> tuple[Path, ...]:
    """What the loader of this machine would load for the program; QEMU needs the same ones, so they are here."""
    try:
        told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True, timeout=_LDD_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotBuild(f"what {program} needs cannot be told: {error}") from error
    if lost := _LOST.findall(told.stdout):
        raise CannotBuild(f"the agent needs {', '.join(lost)}: apt-get install {_PACKAGE}")
    return tuple(Path(name) for name in _LIBRARY.findall(told.stdout))
