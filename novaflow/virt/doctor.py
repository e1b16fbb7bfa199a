"""What this machine can do for a compute host, and what to install for the rest."""

import asyncio
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from novaflow.models import Value
from novaflow.virt import kvm
from novaflow.virt.choose import EMBEDDED, INSTALL_BINDING, INSTALL_LIBVIRT, INSTALL_QEMU, QEMU, has_qemu_driver
from novaflow.virt.guest.disk import missing_tools
from novaflow.virt.guest.kernel import installed_kernels
from novaflow.virt.guest.sources import static_busybox
from novaflow.virt.libvirt.embed import CREATE_QEMU_USER, QEMU_USER, CannotEmbed, check_user

_SECONDS = 30.0


class Fact(Value, frozen=True, kw_only=True):
    """One thing that was looked at. `fix` is what to do about it, empty when it is well."""

    name: str
    is_ok: bool
    detail: str
    fix: str = ""


async def facts(directory: Path) -> list[Fact]:
    """Everything about virtualisation, in the order in which it is needed. The verdict on KVM is kept below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    return [
        *await asyncio.gather(_program(QEMU, INSTALL_QEMU), _program("qemu-img", INSTALL_QEMU)),
        _binding(),
        _qemu_driver(),
        _user(),
        *await asyncio.gather(
            _libvirt(EMBEDDED, "install what is missing above"),
            _libvirt("qemu:///system", "only if you want the daemon: apt-get install libvirt-daemon-system"),
        ),
        await _kvm(directory),
        _kernel(),
        _busybox(),
        _disk_tools(),
    ]


async def _kvm(directory: Path) -> Fact:
    verdict = await kvm.judge(directory)
    fix = "" if verdict.is_usable else "none needed: guests are emulated, which is slower"
    return Fact(name="KVM", is_ok=verdict.is_usable, detail=verdict.reason, fix=fix)


async def _program(name: str, fix: str) -> Fact:
    if shutil.which(name) is None:
        return Fact(name=name, is_ok=False, detail="not found", fix=fix)
    status, said = await _ask(name, "--version")
    return Fact(name=name, is_ok=status == 0, detail=said, fix="" if status == 0 else fix)


def _binding() -> Fact:
    is_there = importlib.util.find_spec("libvirt") is not None
    detail = "installed" if is_there else f"not installed in {sys.prefix}"
    return Fact(name="libvirt binding", is_ok=is_there, detail=detail, fix="" if is_there else INSTALL_BINDING)


def _qemu_driver() -> Fact:
    is_there = has_qemu_driver()
    detail = "installed" if is_there else "libvirt_driver_qemu.so not found"
    return Fact(name="libvirt QEMU driver", is_ok=is_there, detail=detail, fix="" if is_there else INSTALL_LIBVIRT)


def _user() -> Fact:
    name = f"user {QEMU_USER}"
    try:
        check_user()
    except CannotEmbed as error:
        return Fact(name=name, is_ok=False, detail=str(error), fix=CREATE_QEMU_USER)
    return Fact(name=name, is_ok=True, detail="there" if os.geteuid() == 0 else "not needed without root")


async def _libvirt(uri: str, fix: str) -> Fact:
    status, said = await _ask(sys.executable, "-m", "novaflow.virt.libvirt.check", uri)
    return Fact(name=uri, is_ok=status == 0, detail=said, fix="" if status == 0 else fix)


def _kernel() -> Fact:
    kernels = installed_kernels()
    if kernels:
        return Fact(name="guest kernel", is_ok=True, detail=str(kernels[0][1]))
    fix = "apt-get install linux-image-cloud-amd64, or let `novaflow guest build` fetch the package"
    return Fact(name="guest kernel", is_ok=False, detail="no kernel that can be read in /boot", fix=fix)


def _busybox() -> Fact:
    found = static_busybox()
    detail = str(found) if found else "no static busybox found"
    return Fact(name="busybox", is_ok=bool(found), detail=detail, fix="" if found else "apt-get install busybox-static")


def _disk_tools() -> Fact:
    missing = missing_tools()
    detail = f"missing: {', '.join(missing)}" if missing else "syslinux, mtools, e2fsprogs, qemu-utils"
    fix = f"apt-get install {' '.join(missing)}" if missing else ""
    return Fact(name="guest disk tools", is_ok=not missing, detail=detail, fix=fix)


async def _ask(*command: str) -> tuple[int, str]:
    """Exit status and first line of what a program says."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LIBVIRT_LOG_OUTPUTS": "4:file:/dev/null"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"no answer within {_SECONDS:.0f} s"
    lines = out.decode(errors="replace").strip().splitlines()
    return process.returncode or 0, lines[-1] if process.returncode and lines else (lines or [""])[0]
