"""Where the guest's kernel and busybox come from: what is installed here, or else the distribution's packages, unpacked beside it."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from novaflow.models import Value
from novaflow.virt.guest.kernel import installed_kernels

Say = Callable[[str], None]

_KERNEL_PACKAGES: Final = ("linux-image-cloud-amd64", "linux-image-virtual", "linux-image-kvm")
_CONCRETE: Final = re.compile(r"^\s*(?:Pre)?Depends: (linux-(?:image|modules)(?:-unsigned)?-\d\S*)$", re.MULTILINE)
_BUSYBOXES: Final = ("bin/busybox", "usr/bin/busybox")
_APT_SECONDS: Final = 300.0


class CannotBuild(Exception):
    """Something that the guest is made of cannot be had; the text says what to install."""


class Sources(Value, frozen=True, kw_only=True):
    """The parts, as paths."""

    release: str
    kernel: Path
    modules: Path  # lib/modules/<release>
    busybox: Path


def find_sources(downloads: Path, say: Say, root: Path = Path("/")) -> Sources:
    """The parts that the guest is made of; raises CannotBuild. Packages are unpacked below `downloads`."""
    kernels = installed_kernels(root) or installed_kernels(downloads / "kernel")
    if not kernels:
        say("fetching a Linux kernel package")
        kernels = installed_kernels(unpack(_kernel_packages(), downloads / "kernel"))
    if not kernels:
        raise CannotBuild("no Linux kernel can be read here: apt-get install linux-image-cloud-amd64")
    release, kernel = kernels[0]
    busybox = static_busybox(root) or static_busybox(downloads / "busybox")
    if busybox is None:
        say("fetching the package busybox-static")
        busybox = static_busybox(unpack(["busybox-static"], downloads / "busybox"))
    if busybox is None:
        raise CannotBuild("no static busybox is here: apt-get install busybox-static")
    modules = kernel.parent.parent / "lib" / "modules" / release
    return Sources(release=release, kernel=kernel, modules=modules, busybox=busybox)


def is_static(program: Path) -> bool:
    """Does this ELF file run without a loader, as an initramfs needs it? A loader's name stands near the start."""
    with program.open("rb") as stream:
        head = stream.read(4096)
    return head.startswith(b"\x7fELF") and b"/ld-" not in head


def static_busybox(root: Path = Path("/")) -> Path | None:
    """A busybox that runs in an initramfs."""
    return next((root / name for name in _BUSYBOXES if (root / name).is_file() and is_static(root / name)), None)


def unpack(packages: list[str], directory: Path) -> Path:
    """Download and unpack Debian packages, without installing them and without root. They appear all at once, and stay."""
    work = directory.with_name(f"{directory.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _run(["apt-get", "download", *packages], work)
    for package in sorted(work.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(work)])
        package.unlink()
    shutil.rmtree(directory, ignore_errors=True)
    work.rename(directory)
    return directory


def _kernel_packages() -> list[str]:
    """The concrete packages behind the first kernel meta-package that this distribution has."""
    for name in _KERNEL_PACKAGES:
        found = _CONCRETE.findall(_run(["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", name]))
        if found:
            return sorted(set(found))
    raise CannotBuild(f"apt knows none of the packages {', '.join(_KERNEL_PACKAGES)}: run apt-get update")


def _run(command: list[str], directory: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=_APT_SECONDS)
    except FileNotFoundError:
        raise CannotBuild(f"{command[0]} is not here, so packages cannot be fetched") from None
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"{command[0]} did not end within {_APT_SECONDS:.0f} s") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise CannotBuild(f"{' '.join(command[:3])} failed: {said[-1] if said else error.returncode}") from None
    return done.stdout
