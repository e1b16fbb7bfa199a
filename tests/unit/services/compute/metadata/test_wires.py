"""The wires of a host: answered on as soon as they can be."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest
from aiohttp import web

from novaflow.virt.wire.laid import note
from services.compute.metadata import wires
from services.compute.metadata.wires import GuestWires
from tests.support.guest_wire import WITHIN, Guest, laid
from tests.support.libvirt import short_directory


async def answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="heard")


async def test_a_wire_that_could_not_be_answered_on_is_when_that_has_passed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wires, "LOOK", 0.01)
    with short_directory() as directory:
        wire = laid(directory / "server")
        in_the_way = Path(wire.host_end)
        in_the_way.mkdir(parents=True)
        note(Path(wire.directory), wire)
        server = web.Server(answer, access_log=None)
        running = asyncio.create_task(GuestWires(directory, server).run())
        async with asyncio.timeout(WITHIN):
            while not caplog.records:
                await asyncio.sleep(0.01)

        in_the_way.rmdir()
        async with asyncio.timeout(WITHIN):
            while not in_the_way.is_socket():
                await asyncio.sleep(0.01)

        guest = Guest(wire)
        assert (await guest.ask(b"GET / HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")).endswith(b"heard")
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        guest.close()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await server.shutdown(1.0)
