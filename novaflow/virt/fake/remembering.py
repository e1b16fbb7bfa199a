"""Pausing, saving, and going on."""

from novaflow.states import Power
from novaflow.virt.fake.guest import paused, saved, went_on
from novaflow.virt.fake.host import FakeHost


class Remembering:
    """The part of FakeDriver that stops guests without their forgetting anything."""

    _host: FakeHost

    async def pause(self, server_id: str) -> None:
        """Its processors stop."""
        async with self._host.alone("pause", server_id):
            await self._host.begin("pause", server_id)
            self._host.keep(paused(self._host.switched_on("pause", server_id)))

    async def unpause(self, server_id: str) -> None:
        """They go on."""
        async with self._host.alone("unpause", server_id):
            await self._host.begin("unpause", server_id)
            guest = self._host.switched_on("unpause", server_id)
            if guest.power == Power.PAUSED:
                self._host.keep(went_on(guest))

    async def suspend(self, server_id: str) -> None:
        """Its memory is saved and it is off. Cancelled while it is saved, it goes on as it was."""
        async with self._host.alone("suspend", server_id):
            await self._host.begin("suspend", server_id, self._host.delays.suspend)
            if not self._host.known("suspend", server_id).is_saved:
                self._host.keep(saved(self._host.switched_on("suspend", server_id)))

    async def resume(self, server_id: str) -> None:
        """It goes on, paused or saved as it may be, or boots."""
        async with self._host.alone("resume", server_id):
            await self._host.begin("resume", server_id, self._host.delays.resume)
            guest = self._host.known("resume", server_id)
            if guest.power == Power.PAUSED:
                self._host.keep(went_on(guest))
            else:
                self._host.start(guest)
