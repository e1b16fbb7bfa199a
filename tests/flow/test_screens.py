"""What the API asks of a guest's host: its screen, its counts, and a crash dump."""

import base64
from pathlib import Path
from typing import Any

import pytest

from novaflow.errors import GuestFailed
from novaflow.messages import GET_DIAGNOSTICS, GET_SCREENSHOT, GET_VNC_CONSOLE, TRIGGER_CRASH_DUMP, GuestAsk, Nothing
from rpc.procedure import Call
from tests.support.actions import guest_of
from tests.support.cloud import cloud

PNG = b"\x89PNG\r\n\x1a\n"


async def test_a_screenshot_is_a_png(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        picture = await world.bus.call(GET_SCREENSHOT.at(server.host or ""), GuestAsk(server_id=server.id))

        assert base64.b64decode(picture.png).startswith(PNG)


async def test_diagnostics_are_the_hypervisors_counts(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        counted = await world.bus.call(GET_DIAGNOSTICS.at(server.host or ""), GuestAsk(server_id=server.id))

        assert (counted.state, counted.driver, counted.vcpus) == ("running", "fake", 1)
        assert list(counted.nics) == [address.mac for address in server.addresses]


async def test_a_crash_dump_interrupts_the_guest_and_needs_no_task(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        answer = await world.bus.call(TRIGGER_CRASH_DUMP.at(server.host or ""), GuestAsk(server_id=server.id))

        assert answer == Nothing()
        assert guest_of(world, server).interrupts == 1
        assert len(await world.servers.actions(server.id)) == 1


async def test_what_the_hypervisor_refuses_is_told_to_who_asked(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        ask = GuestAsk(server_id=server.id)
        with pytest.raises(GuestFailed, match="no screen server"):
            await world.bus.call(GET_VNC_CONSOLE.at(server.host or ""), ask)

        await world.order(server, "stop")

        procedures: tuple[Call[GuestAsk, Any], ...] = (GET_SCREENSHOT, GET_DIAGNOSTICS, TRIGGER_CRASH_DUMP)
        for procedure in procedures:
            with pytest.raises(GuestFailed, match="the guest is not running"):
                await world.bus.call(procedure.at(server.host or ""), ask)
