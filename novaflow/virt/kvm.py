"""Can KVM really run a guest here?

libvirt's word is not enough: a /dev/kvm can be there, accept a machine and never get a kernel off the ground (nested and
para-virtual variants do that). So the cheap signs come first, and only where they are good a Linux kernel is
started until it says its banner. The verdict is kept until the machine, its kernel or its QEMU changes.
"""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from novaflow.models import Value
from novaflow.virt.guest.kernel import readable_kernel

QEMU: Final = "qemu-system-x86_64"
PROBE_SECONDS: Final = 15.0  # an emulated kernel says its banner within 5 on a loaded machine
_BANNER: Final = b"Linux version"
_FATAL: Final = (b"emulation failure", b"KVM internal error", b"failed to initialize kvm")
_SAID_KEPT: Final = 65536

SaysBanner = Callable[[Path, str, float], Awaitable[bool]]
"""Tries a kernel with an accelerator for some seconds."""


class Signs(Value, frozen=True, kw_only=True):
    """What can be seen without starting anything."""

    has_device: bool
    can_open: bool
    has_cpu_flag: bool  # vmx or svm
    has_module: bool  # kvm_intel or kvm_amd

    def refusal(self) -> str:
        """Why KVM cannot work; empty when the signs allow it."""
        if not self.has_device:
            return "there is no /dev/kvm"
        if not self.can_open:
            return "/dev/kvm is not readable and writable for this user (add it to the group kvm)"
        if not self.has_cpu_flag and not self.has_module:
            return "the CPU shows neither vmx nor svm and neither kvm_intel nor kvm_amd is loaded"
        return ""


class Verdict(Value, frozen=True, kw_only=True):
    """`reason` says why not, or how far it is proven."""

    is_usable: bool
    reason: str


class _Kept(Value, frozen=True, kw_only=True):
    """The verdict as its file has it, and what it was true for."""

    circumstances: str
    verdict: Verdict


async def judge(
    directory: Path, *, signs: Signs | None = None, kernel: Path | None = None, says: SaysBanner | None = None
) -> Verdict:
    """The verdict for this machine, from the file below `directory` when nothing has changed since.

    `signs`, the `kernel` to try and what tries it (`says`) are this machine's unless they are given.
    """
    refusal = (signs or read_signs()).refusal()
    if refusal:
        return Verdict(is_usable=False, reason=refusal)
    kernel = kernel or readable_kernel()
    file = directory / "kvm.json"
    now = _circumstances(kernel)
    with contextlib.suppress(OSError, msgspec.DecodeError):
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        if kept.circumstances == now:
            return kept.verdict
    verdict = await _try(kernel, says or says_banner)
    with contextlib.suppress(OSError):  # then it is tried again next time
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(_Kept(circumstances=now, verdict=verdict)))
        fresh.replace(file)
    return verdict


def read_signs(root: Path = Path("/")) -> Signs:
    """What the files below `root` tell."""
    device = root / "dev/kvm"
    try:
        flags = re.search(r"^flags\s*:(.*)$", (root / "proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        flags = None
    return Signs(
        has_device=device.exists(),
        can_open=os.access(device, os.R_OK | os.W_OK),
        has_cpu_flag=bool(flags and {"vmx", "svm"} & set(flags.group(1).split())),
        has_module=any((root / "sys/module" / name).is_dir() for name in ("kvm_intel", "kvm_amd")),
    )


async def _try(kernel: Path | None, says: SaysBanner) -> Verdict:
    if kernel is None or shutil.which(QEMU) is None:
        return Verdict(is_usable=True, reason="the signs are good; not proven, for there is no kernel or QEMU to try")
    if await says(kernel, "kvm", PROBE_SECONDS):
        return Verdict(is_usable=True, reason=f"{kernel.name} ran under KVM")
    return Verdict(is_usable=False, reason=f"{kernel.name} did not say a word within {PROBE_SECONDS:.0f} s under KVM")


async def says_banner(kernel: Path, accelerator: str, seconds: float) -> bool:
    """Does this kernel come up far enough to say its version?"""
    process = await asyncio.create_subprocess_exec(
        QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-M", "pc", "-accel", accelerator,
        "-m", "96", "-serial", "stdio", "-kernel", str(kernel),
        "-append", "earlyprintk=serial,ttyS0,115200 console=ttyS0 panic=-1",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            return await _reads_banner(process)
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _reads_banner(process: asyncio.subprocess.Process) -> bool:
    said = b""
    while process.stdout and (chunk := await process.stdout.read(4096)):
        said = (said + chunk)[-_SAID_KEPT:]
        if _BANNER in said:
            return True
        if any(sign in said for sign in _FATAL):
            return False
    return False


def _circumstances(kernel: Path | None) -> str:
    """Whatever the verdict depends on: this boot, its kernel, and the files of QEMU and of the tried kernel."""
    parts = [os.uname().release]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    for path in (shutil.which(QEMU), kernel):
        if path:
            stat = os.stat(path)
            parts.append(f"{path}:{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(parts)
