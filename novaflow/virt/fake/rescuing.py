"""Another system in the guest's place."""

import msgspec

from novaflow.virt.driver import BootSource, GuestSpec
from novaflow.virt.fake.guest import FakeGuest, Rescue, halted, hostname_of
from novaflow.virt.fake.host import FakeHost, check
from novaflow.virt.fake.life import content_of


class Rescuing:
    """The part of FakeDriver that puts a rescue system in a guest's place and takes it away again."""

    _host: FakeHost

    async def rescue(self, guest: GuestSpec, source: BootSource) -> None:
        """Off, then on with the rescue system. Failed or cancelled, the guest is off and its own."""
        async with self._host.alone("rescue", guest.server_id):
            own = _itself(self._host.known("rescue", guest.server_id))
            try:
                await self._host.begin("rescue", guest.server_id, self._host.delays.power_on)
                system = _system(guest, source)
            except BaseException:
                self._host.keep(own)
                raise
            self._host.keep(own)
            self._host.boot(msgspec.structs.replace(own, rescue=system))

    async def unrescue(self, server_id: str) -> None:
        """Off and on with its own system; one that is not rescued is only started."""
        async with self._host.alone("unrescue", server_id):
            await self._host.begin("unrescue", server_id, self._host.delays.power_on)
            guest = self._host.known("unrescue", server_id)
            if guest.rescue:
                guest = _itself(guest)
                self._host.keep(guest)
            self._host.start(guest)


def _itself(guest: FakeGuest) -> FakeGuest:
    return msgspec.structs.replace(halted(guest), rescue=None)


def _system(guest: GuestSpec, source: BootSource) -> Rescue:
    """What boots in the guest's place, checked as for a spawn; its disk is as large as its image, whatever the flavor says."""
    check(
        "rescue",
        msgspec.structs.replace(
            guest,
            flavor=msgspec.structs.replace(guest.flavor, disk_gb=0),
            disk=source.disk,
            kernel=source.kernel,
            ramdisk=source.ramdisk,
            command_line=source.command_line,
        ),
    )
    return Rescue(hostname=hostname_of(guest), content=content_of(source.disk) if source.disk else "")
