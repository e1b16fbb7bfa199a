"""The guest image, whole: kernel, initramfs and disk, built once for each version of what they are made of."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from novaflow.errors import GuestFailed
from novaflow.models import Value
from novaflow.virt.guest.agent import MODULE, Agent, agent_entries, chpasswd_script, find_agent
from novaflow.virt.guest.disk import make_blank_disk, make_disk
from novaflow.virt.guest.initramfs import build_initramfs, init_script
from novaflow.virt.guest.modules import WANTED, MissingModule, load_order
from novaflow.virt.guest.sources import CannotBuild, Say, Sources, find_sources

COMMAND_LINE: Final = (
    "console=tty0 console=ttyS0 quiet panic=-1 net.ifnames=0 nokaslr mitigations=off tsc=reliable no_timer_check "
    "edd=off cryptomgr.notests rcupdate.rcu_expedited=1 8250.nr_uarts=1 random.trust_cpu=on audit=0 lsm="
)
"""Everything after net.ifnames= is there for speed under emulation. acpi=noirq would save some more, and all processors but one."""

_RECIPE: Final = "1"  # change it when this code makes other images of the same parts


class GuestFiles(Value, frozen=True, kw_only=True):
    """The built files. `disk` boots by itself; `kernel` and `ramdisk` boot beside `blank`, an empty file system.

    `command_line` belongs to the kernel: an image that names it tells it in its property os_command_line.
    """

    release: str
    kernel: Path
    ramdisk: Path
    blank: Path
    disk: Path
    command_line: str = COMMAND_LINE


def build_guest(directory: Path, on_progress: Say = lambda _: None, *, with_agent: bool = False) -> GuestFiles:
    """The image below `directory`, built now unless it is there already; `on_progress` hears of each step.

    `with_agent` puts qemu-guest-agent into it, which doubles what has to be loaded at a boot.

    A build appears at once or not at all, and is named by its parts, so that a new kernel makes a new image. Raises GuestFailed with
    operation `build` and what to install.
    """
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        sources = find_sources(directory / "packages", on_progress)
        agent = find_agent(directory / "packages", on_progress) if with_agent else None
        home = directory / f"guest-{_fingerprint(sources, agent)}"
        if not home.is_dir():
            _build_into(home, sources, agent, on_progress)
    except (OSError, subprocess.SubprocessError, MissingModule, CannotBuild) as error:
        raise GuestFailed(operation="build", server_id="the guest image", reason=str(error)) from error
    return _image(home, sources.release)


def _image(home: Path, release: str) -> GuestFiles:
    return GuestFiles(
        release=release,
        kernel=home / "vmlinuz",
        ramdisk=home / "initrd.gz",
        blank=home / "blank.img",
        disk=home / "disk.qcow2",
    )


def _build_into(home: Path, sources: Sources, agent: Agent | None, say: Say) -> None:
    work = home.with_name(f"{home.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        image = _image(work, sources.release)
        say(f"packing Linux {sources.release} and busybox")
        shutil.copyfile(sources.kernel, image.kernel)
        image.ramdisk.write_bytes(_initramfs(sources, agent))
        say("making the disks")
        make_blank_disk(image.blank)
        make_disk(image.disk, image.kernel, image.ramdisk, COMMAND_LINE)
        if not home.is_dir():  # somebody else may have been quicker
            work.rename(home)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _initramfs(sources: Sources, agent: Agent | None) -> bytes:
    if agent is None:
        return build_initramfs(sources.busybox, load_order(sources.modules))
    modules = load_order(sources.modules, [*WANTED, MODULE])
    return build_initramfs(sources.busybox, modules, agent_entries(agent))


def _fingerprint(sources: Sources, agent: Agent | None) -> str:
    """What decides the image's bytes: the recipe, the scripts, and the parts by name, size and time."""
    parts = [_RECIPE, COMMAND_LINE, init_script().decode(), sources.release]
    paths = [sources.kernel, sources.busybox]
    if agent is not None:
        parts.append(chpasswd_script().decode())
        paths += [agent.program, *agent.libraries]
    for path in paths:
        stat = path.stat()
        parts.append(f"{path}:{stat.st_size}:{stat.st_mtime_ns}")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
