"""The machine and the programs that figures were measured with: without them a figure says nothing."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from novaflow import __version__

_PACKAGES: Final = ("aio-pika", "aiormq", "uvloop", "msgspec")
_KIB_PER_GIB: Final = 2**20


def machine() -> dict[str, str]:
    """Processor, memory and system, as people would say it. Nothing that names the machine or its owner."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of novaflow, Python and the packages that a message passes through."""
    found = {"novaflow": __version__, "Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    return _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def _memory() -> str:
    kib = _line("/proc/meminfo", "MemTotal").split()
    return f"{int(kib[0]) / _KIB_PER_GIB:.1f} GiB" if kib else "unknown"


def _line(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
