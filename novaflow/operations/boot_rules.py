"""What must hold before a server is recorded: pure checks over what was read, and the names a request's servers get.

Texts and limits are Nova's (nova/compute/api.py, nova/exception.py, nova/utils.py).
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Final

from novaflow.errors import Invalid, LimitExceeded
from novaflow.models import Context, Flavor, ImageFacts, InjectedFile
from novaflow.quotas import QuotaLimits

_GIB: Final = 2**30
_UNLIMITED: Final = -1
_HOST_NAME_LENGTH: Final = 63


def check_image(image: ImageFacts, flavor: Flavor, context: Context) -> None:
    """Whether a server of this flavor can be made of this image; raises Invalid, or LimitExceeded for a flavor without a disk."""
    if image.status != "active":
        raise Invalid(reason=f"Image {image.id} is not active.")
    if flavor.ram_mb < image.min_ram_mb:
        raise Invalid(reason="Flavor's memory is too small for requested image.")
    if flavor.disk_gb == 0:
        # Such a server's disk is as large as its image, and nobody has accounted for that.
        if not context.is_admin:
            raise LimitExceeded(reason="Only volume-backed servers are allowed for flavors with zero disk.")
        return
    disk_bytes = flavor.disk_gb * _GIB
    if image.size_bytes > disk_bytes:
        raise Invalid(
            reason="Flavor's disk is too small for requested image. "
            f"Flavor disk is {disk_bytes} bytes, image is {image.size_bytes} bytes."
        )
    if image.min_disk_gb * _GIB > disk_bytes:
        raise Invalid(
            reason="Flavor's disk is smaller than the minimum size specified in image metadata. "
            f"Flavor disk is {disk_bytes} bytes, minimum size is {image.min_disk_gb * _GIB} bytes."
        )


def check_metadata(metadata: Mapping[str, str], limits: QuotaLimits) -> None:
    """Whether a server may have this many metadata items; raises LimitExceeded."""
    if _exceeds(len(metadata), limits.metadata_items):
        raise LimitExceeded(reason=f"Maximum number of metadata items exceeds {limits.metadata_items}")


def check_files(files: Sequence[InjectedFile], limits: QuotaLimits) -> None:
    """Whether these files may be put into a server; raises LimitExceeded."""
    if _exceeds(len(files), limits.injected_files):
        raise LimitExceeded(reason="Personality file limit exceeded")
    longest_path = max((len(file.path.encode()) for file in files), default=0)
    if _exceeds(longest_path, limits.injected_file_path_bytes):
        raise LimitExceeded(reason=f"Personality file path exceeds maximum {limits.injected_file_path_bytes}")
    largest = max((len(base64.b64decode(file.contents)) for file in files), default=0)
    if _exceeds(largest, limits.injected_file_content_bytes):
        raise LimitExceeded(reason=f"Personality file content exceeds maximum {limits.injected_file_content_bytes}")


def boot_files(image: ImageFacts) -> tuple[str, str]:
    """The ids of the kernel and ramdisk that the image boots with; empty when it boots by itself."""
    if image.kernel_id in ("", "nokernel"):
        return "", ""
    return image.kernel_id, image.ramdisk_id


def numbered(name: str, index: int, count: int) -> str:
    """The name of one of `count` servers made by one request: `web-1`, `web-2`; a single server keeps the name."""
    return name if count == 1 else f"{name}-{index + 1}"


def host_name(name: str, server_id: str) -> str:
    """A host name made of the server's name (RFC 952 and 1123, at most 63 characters); of its id if nothing of it is left."""
    known = name.encode("latin-1", "ignore").decode("latin-1")[:_HOST_NAME_LENGTH]
    hyphenated = re.sub(r"[ _.]", "-", known)
    plain = re.sub(r"[^a-zA-Z0-9-]+", "", hyphenated).lower().strip("-")
    return plain or f"server-{server_id}"


def _exceeds(asked: int, limit: int) -> bool:
    return limit != _UNLIMITED and asked > limit
