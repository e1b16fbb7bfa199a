"""Linux kernels that this machine has."""

import os
import re
from pathlib import Path

_PREFERENCE = ("cloud", "kvm", "virtual")  # flavours with little hardware in them start faster


def installed_kernels(root: Path = Path("/")) -> list[tuple[str, Path]]:
    """Release and image of every installed kernel that we may read and whose modules are there; best first."""
    found = []
    for image in (root / "boot").glob("vmlinuz-*"):
        release = image.name.removeprefix("vmlinuz-")
        if os.access(image, os.R_OK) and (root / "lib/modules" / release).is_dir():
            found.append((release, image))
    return sorted(found, key=lambda pair: _rank(pair[0]), reverse=True)


def readable_kernel(root: Path = Path("/")) -> Path | None:
    """Any kernel image that we may read."""
    images = [image for image in sorted((root / "boot").glob("vmlinuz-*")) if os.access(image, os.R_OK)]
    return images[-1] if images else None


def _rank(release: str) -> tuple[bool, list[int]]:
    return any(word in release for word in _PREFERENCE), [int(number) for number in re.findall(r"\d+", release)]
