"""Which driver a compute host gets.

`auto` means a real hypervisor or an error that says what to install: a cloud never becomes a fake one by accident.
"""

import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from novaflow.config import Compute
from novaflow.errors import GuestFailed, Invalid
from novaflow.hosts import HostResources
from novaflow.virt.driver import Driver
from novaflow.virt.fake import FakeDelays, FakeDriver
from novaflow.virt.libvirt.route import Route

EMBEDDED: Final = "qemu:///embed"
INSTALL_BINDING: Final = "install libvirt-dev, pkg-config, gcc and python3-dev, then `pip install novaflow[libvirt]`"
INSTALL_QEMU: Final = "apt-get install qemu-system-x86 qemu-utils"
INSTALL_LIBVIRT: Final = "apt-get install libvirt-daemon-driver-qemu"
QEMU: Final = "qemu-system-x86_64"
_URI: Final = re.compile(r"(qemu|test)(\+[a-z0-9]+)?:///?\S+")
_DRIVER_DIRECTORIES: Final = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")


def open_driver(
    settings: Compute, *, host: str, directory: Path, on_notice: Callable[[str], None] = lambda _: None
) -> Driver:
    """The driver that `settings.virt` names, not yet opened.

    `directory` is where this process keeps its compute hosts' files: all hosts of a process share it, each has a directory of its own
    below, and the embedded libvirt has its state there too. `on_notice` hears what an operator should know, a line
    at a time. Raises GuestFailed when something must be installed first, Invalid for a setting nobody knows.
    """
    if not re.fullmatch(r"[\w.-]+", host) or host.startswith("."):
        raise Invalid(reason=f"{host!r} cannot be the name of a compute host")
    if settings.virt == "fake":
        delays = FakeDelays(**dict.fromkeys(FakeDelays.__struct_fields__, settings.fake_delay))
        return FakeDriver(directory / host, fake_resources(settings, host), delays=delays)
    uri = EMBEDDED if settings.virt == "auto" else settings.virt.replace("{host}", host)
    if not _URI.fullmatch(uri):
        raise Invalid(reason=f"compute.virt is {settings.virt!r}: not auto, not fake, and not a libvirt URI")
    if settings.virt_type not in ("auto", "kvm", "qemu"):
        raise Invalid(reason=f"compute.virt_type is {settings.virt_type!r}: not auto, kvm or qemu")
    missing = missing_for(uri)
    if missing:
        raise GuestFailed(
            operation="open",
            server_id=f"host {host}",
            reason=f"{uri} needs {'; and '.join(missing)}; or choose the fake driver by name",
        )
    _tame_libvirt(directory)
    from novaflow.virt.libvirt.driver import LibvirtDriver  # 0.1 s and 8 MiB: only for whoever uses it

    return LibvirtDriver(
        uri,
        settings.virt_type,
        host=host,
        directory=directory,
        on_notice=on_notice,
        has_vnc=settings.vnc,
        route=Route(address=settings.my_ip, uri=settings.live_migration_uri, timeout=settings.live_migration_timeout),
    )


def _tame_libvirt(directory: Path) -> None:
    """Have libvirt log to a file instead of our standard error; it reads this once, when the binding is imported."""
    directory.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", f"3:file:{directory.absolute() / 'libvirt.log'}")


def missing_for(uri: str) -> list[str]:
    """What this machine lacks for a libvirt URI, each with how to get it."""
    missing = []
    if importlib.util.find_spec("libvirt") is None:
        missing.append(f"the libvirt binding ({INSTALL_BINDING})")
    if uri.startswith("qemu"):
        missing += [f"{program} ({INSTALL_QEMU})" for program in (QEMU, "qemu-img") if shutil.which(program) is None]
    if uri.startswith(EMBEDDED) and not has_qemu_driver():
        missing.append(f"libvirt's QEMU driver ({INSTALL_LIBVIRT})")
    return missing


def has_qemu_driver() -> bool:
    """Is the module there that lets libvirt run QEMU inside this process?"""
    module = "libvirt/connection-driver/libvirt_driver_qemu.so"
    return any((Path(directory) / module).exists() for directory in _DRIVER_DIRECTORIES)


def fake_resources(settings: Compute, host: str) -> HostResources:
    """What a fake host says it has; CPU facts as Nova's own fake driver tells them."""
    return HostResources(
        vcpus=settings.fake_vcpus,
        ram_mb=settings.fake_ram_mb,
        disk_gb=settings.fake_disk_gb,
        hypervisor_type="fake",
        hypervisor_version=1000,
        hypervisor_hostname=host,
        cpu_info={
            "arch": "x86_64",
            "model": "Nehalem",
            "vendor": "Intel",
            "features": ["pge", "clflush"],
            "topology": {"cores": 1, "threads": 1, "sockets": 4},
        },
    )
