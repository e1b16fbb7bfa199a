"""What goes wrong outside, as the one error that callers of a driver know."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import libvirt

from novaflow.errors import GuestFailed
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt.domains import NotOurs
from novaflow.virt.libvirt.embed import CannotEmbed
from novaflow.virt.qemu_img import ImageFailed

_EXPLAINED: Final = (
    ("already open with path", "this process runs an embedded libvirt in another directory: {said}"),
    ("Failed to acquire pid file", "another process runs the embedded libvirt of this directory: {said}"),
    ("no connection driver available", "libvirt's QEMU driver is missing (apt-get install libvirt-daemon-driver-qemu)"),
    ("Failed to connect socket", "no libvirt daemon answers: {said}"),
)


@contextmanager
def failures(operation: str, server_id: str) -> Iterator[None]:
    """Everything that the outside world does to us, as GuestFailed with one sentence."""
    try:
        yield
    except libvirt.libvirtError as error:
        reason = explain(error)
    except (Refused, ImageFailed, CannotEmbed, NotOurs) as error:
        reason = str(error)
    except TimeoutError:
        reason = "libvirt did not answer in time"
    except OSError as error:
        reason = str(error)
    else:
        return
    raise GuestFailed(operation=operation, server_id=server_id, reason=reason)


def explain(error: libvirt.libvirtError) -> str:
    """What libvirt said, with what to do about it where we know."""
    said = str(error.get_error_message() or error)
    return next((text.format(said=said) for sign, text in _EXPLAINED if sign in said), said)
