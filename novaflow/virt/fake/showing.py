"""Looking at a guest, and talking to what runs in it."""

from typing import Final

import msgspec

from novaflow.states import Power
from novaflow.virt.driver import Console, Diagnostics
from novaflow.virt.fake.guest import MIB, FakeGuest, saying
from novaflow.virt.fake.host import FakeHost, refused
from novaflow.virt.fake.screen import picture

_STATES: Final = {Power.RUNNING: "running", Power.PAUSED: "paused"}


class Showing:
    """The part of FakeDriver that shows what a guest says, displays and counts."""

    _host: FakeHost

    async def console_output(self, server_id: str, max_bytes: int) -> bytes:
        """What a guest would have said, and that this one is a fake."""
        guest = self._host.get(server_id)
        text = guest.console.encode() if guest else b""
        return text[-max_bytes:] if max_bytes > 0 else b""

    async def console(self, server_id: str) -> Console:
        """Refused: there is a picture, and nobody who serves it."""
        self._host.switched_on("console", server_id)
        raise refused("console", server_id, "a fake guest has no screen server")

    async def screenshot(self, server_id: str) -> bytes:
        """A small picture that differs by power and by boot."""
        guest = self._host.switched_on("screenshot", server_id)
        if not guest.has_screen:
            raise refused("screenshot", server_id, "the guest has no screen")
        return picture(guest)

    async def diagnostics(self, server_id: str) -> Diagnostics:
        """As if every boot had cost the same."""
        return _diagnostics(self._host.switched_on("diagnostics", server_id))

    async def set_password(self, server_id: str, user: str, password: str) -> None:  # noqa: ARG002 - it is kept nowhere
        """For guests whose image says that they have an agent; that it was set is kept, the password is not."""
        async with self._host.alone("set_password", server_id):
            await self._host.begin("set_password", server_id)
            guest = self._host.switched_on("set_password", server_id)
            if not guest.has_agent:
                raise refused("set_password", server_id, "QEMU guest agent is not enabled")  # as Nova says it
            if guest.power != Power.RUNNING:
                raise refused("set_password", server_id, "the guest is paused: its agent does not answer")
            users = (*(known for known in guest.passwords_set_for if known != user), user)
            self._host.keep(msgspec.structs.replace(guest, passwords_set_for=users))

    async def inject_nmi(self, server_id: str) -> None:
        """The guest says that it was interrupted, and goes on."""
        async with self._host.alone("inject_nmi", server_id):
            await self._host.begin("inject_nmi", server_id)
            guest = saying(self._host.switched_on("inject_nmi", server_id), "non-maskable interrupt")
            self._host.keep(msgspec.structs.replace(guest, interrupts=guest.interrupts + 1))


def _diagnostics(guest: FakeGuest) -> Diagnostics:
    cost = guest.boots
    return Diagnostics(
        state=_STATES[guest.power],
        driver="fake",
        hypervisor="fake",
        vcpus=guest.vcpus,
        cpu_time_ns=cost * 10**9,
        memory_maximum_kib=guest.ram_mb * 1024,
        memory_used_kib=guest.ram_mb * 1024 // 2,
        disks={
            target: {
                "read_bytes": cost * 16 * MIB,
                "read_requests": cost * 512,
                "write_bytes": cost * MIB,
                "write_requests": cost * 64,
                "errors_count": 0,
            }
            for target in guest.drives
        },
        nics={
            mac: {
                f"{way}_{what}": cost * count
                for way in ("rx", "tx")
                for what, count in (("octets", 4096), ("packets", 16), ("errors", 0), ("drop", 0))
            }
            for mac in guest.macs
        },
        has_config_drive=guest.has_config_drive,
    )
