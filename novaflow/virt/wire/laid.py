"""Where a guest's wire is: two datagram sockets in the guest's directory, QEMU's end and ours, and what its card was given.

A socket's path has at most 107 characters, so the guest's directory may be known by a shorter one.
"""

from pathlib import Path
from typing import Final

import msgspec

from novaflow.virt.wire.dhcp import Wire

FILE: Final = "wire.json"  # in the guest's directory
_QEMU: Final = "qemu"
_HOST: Final = "host"


class LaidWire(Wire, frozen=True, kw_only=True):
    """`directory` is the guest's, by a path that is short enough for sockets."""

    directory: str

    @property
    def qemu_end(self) -> str:
        """The socket that QEMU makes when the guest starts."""
        return f"{self.directory}/{_QEMU}"

    @property
    def host_end(self) -> str:
        """The socket that the compute service makes, and makes anew after a restart."""
        return f"{self.directory}/{_HOST}"


def note(home: Path, wire: LaidWire) -> None:
    """Keep it in the guest's directory; whole or not at all. Raises OSError."""
    fresh = home / f"{FILE}.new"
    fresh.write_bytes(msgspec.json.encode(wire))
    fresh.replace(home / FILE)


def noted(home: Path) -> LaidWire | None:
    """The wire of the guest whose directory this is; None when it has none, or is just going."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=LaidWire)
    except (OSError, msgspec.DecodeError):
        return None
