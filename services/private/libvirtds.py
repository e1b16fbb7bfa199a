"""A private libvirtd for each of several compute hosts, which find theirs by one URI with `{host}` in it."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from novaflow.virt.libvirt.embed import CannotEmbed, shortened
from services.private.libvirtd import LibvirtdFailed, PrivateLibvirtd

_LONGEST: Final = (
    25  # characters of the common directory, so that every host's name leaves a socket's path short enough
)


class PrivateLibvirtds:
    """One daemon per host below `root`, `<root>/<host>`, so that guests can move between the hosts while they run."""

    def __init__(self, root: Path, hosts: Sequence[str]) -> None:
        self._root = root.absolute()
        self._short = self._root
        self._daemons = [PrivateLibvirtd(self._root / host) for host in hosts]

    @property
    def uri(self) -> str:
        """For `compute.virt`, once they were started."""
        return f"qemu+unix:///session?socket={self._short}/{{host}}/run/libvirt/libvirt-sock"

    async def start(self) -> None:
        """Start them all; raises LibvirtdFailed."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._short = shortened(self._root, longest=_LONGEST)
        except (CannotEmbed, OSError) as error:
            raise LibvirtdFailed(str(error)) from error
        for daemon in self._daemons:
            await daemon.start()

    async def stop(self) -> None:
        """End them all, guests included, also when one of them does not end: raises its LibvirtdFailed then."""
        async with AsyncExitStack() as last_first:
            for daemon in self._daemons:
                last_first.push_async_callback(daemon.stop)
        if self._short != self._root:
            self._short.unlink(missing_ok=True)
