"""Another system in the guest's place."""

import msgspec

from novaflow.virt.checks import check_rescue
from novaflow.virt.driver import BootSource, GuestSpec
from novaflow.virt.fake.guest import FakeGuest, Rescue, halted, hostname_of
from novaflow.virt.fake.host import FakeHost
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
    check_rescue(guest, source)
    return Rescue(hostname=hostname_of(guest), content=content_of(source.disk) if source.disk else "")
