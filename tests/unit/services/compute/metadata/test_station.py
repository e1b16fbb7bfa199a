"""A guest's wire, with a guest that speaks TCP by the book on it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from novaflow.virt.wire.frames import METADATA
from novaflow.virt.wire.segments import ACK, RST, SYN
from services.compute.metadata.station import CONNECTIONS, Station
from tests.support.guest_wire import GATEWAY, Guest, ethernet, laid, tcp
from tests.support.libvirt import short_directory

REQUEST = b"GET /big HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"
BIG = bytes(range(256)) * 400


@pytest.fixture
def home() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture
async def station(home: Path) -> AsyncIterator[Station]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == "/slow":
            await asyncio.sleep(0.2)
        return web.Response(body=BIG if request.path == "/big" else body)

    server = web.Server(answer, access_log=None)
    made = Station("server", laid(home), server)
    yield made
    made.close()
    await server.shutdown(1.0)


@pytest.mark.parametrize("loss", [0.0, 0.1])
async def test_a_request_is_answered_whole_whatever_the_wire_loses(station: Station, home: Path, loss: float) -> None:
    guest = Guest(laid(home), loss=loss)

    answer = await guest.ask(REQUEST)

    assert answer.partition(b"\r\n\r\n")[2] == BIG
    guest.close()


async def test_a_guest_can_ask_again_and_again(station: Station, home: Path) -> None:
    guest = Guest(laid(home))

    for number in range(CONNECTIONS * 2):
        body = str(number).encode()
        head = f"POST / HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        assert (await guest.ask(head + body)).endswith(b"\r\n\r\n" + body)
    guest.close()


async def test_a_connection_that_has_ended_makes_room_at_once(
    station: Station, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.compute.metadata.station.TICK", 600.0)
    guest = Guest(laid(home))

    for number in range(CONNECTIONS + 1):
        await guest.send(tcp(1000, 0, SYN, port=50000 + number))
        opened = await guest.receive()
        assert opened[47] == SYN | ACK
        await guest.send(tcp(1001, 0, RST, port=50000 + number))
    guest.close()


async def test_who_asks_for_the_address_or_the_gateway_is_told(station: Station, home: Path) -> None:
    guest = Guest(laid(home))

    for wanted in (METADATA, GATEWAY):
        question = bytes.fromhex("0001080006040001fa163e0000070a000007000000000000") + wanted
        await guest.send(ethernet(0x0806, question, b"\xff" * 6))
        assert (await guest.receive())[28:32] == wanted
    guest.close()


@pytest.mark.parametrize(("to", "port"), [(METADATA, 81), (GATEWAY, 80), (bytes((127, 0, 0, 1)), 22)])
async def test_nobody_else_is_there(station: Station, home: Path, to: bytes, port: int) -> None:
    guest = Guest(laid(home))

    await guest.send(tcp(1000, 0, SYN, to=to, to_port=port))

    assert (await guest.receive())[47] == RST | ACK
    guest.close()


async def test_a_guest_has_so_many_connections_and_no_more(station: Station, home: Path) -> None:
    guest = Guest(laid(home))

    flags = []
    for number in range(CONNECTIONS + 1):
        await guest.send(tcp(1000, 0, SYN, port=50000 + number))
        flags.append((await guest.receive())[47])

    assert flags == [SYN | ACK] * CONNECTIONS + [RST | ACK]
    guest.close()


@pytest.mark.parametrize(
    "frame", [b"", b"x", bytes(14), ethernet(0x0800, b"\x4f" * 30), ethernet(0x0806, b""), b"\xff" * 65000]
)
async def test_what_makes_no_sense_changes_nothing(station: Station, home: Path, frame: bytes) -> None:
    guest = Guest(laid(home))

    await guest.send(frame)

    assert (await guest.ask(REQUEST)).partition(b"\r\n\r\n")[2] == BIG
    guest.close()


async def test_a_flood_does_not_keep_the_guest_from_being_heard_later(station: Station, home: Path) -> None:
    guest = Guest(laid(home))

    async with asyncio.timeout(30):
        for _ in range(500):
            await guest.send(ethernet(0x86DD, b"\x60" * 60))

    assert (await guest.ask(REQUEST)).partition(b"\r\n\r\n")[2] == BIG
    guest.close()


@pytest.mark.parametrize("keeps", [b"close", b"keep-alive"])
async def test_who_has_said_all_it_had_to_say_is_answered_still(station: Station, home: Path, keeps: bytes) -> None:
    guest = Guest(laid(home))

    answer = await guest.ask(b"GET /slow HTTP/1.1\r\nHost: m\r\nConnection: " + keeps + b"\r\n\r\n", half_closes=True)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    guest.close()
