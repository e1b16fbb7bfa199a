"""Parked files on their way to another host: whole and true, or not at all; and to nobody without the key."""

import asyncio
import hashlib
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.messages import DiskTransfer
from novaflow.models import Context
from novaflow.virt.driver import GuestFile
from services.compute import arrivals as arriving
from services.compute import transfer
from services.compute.arrivals import Arrivals, OfferOver, SourceAway
from services.compute.transfer import KEY_HEADER, Offers
from services.web import serving
from tests.support.clocks import ManualClock

SERVER = "5e7e1100-0000-4000-8000-000000000001"
CONTEXT = Context(request_id="req-1", user_id="u", project_id="p")
MIB = 2**20


def order(url: str, key: str) -> DiskTransfer:
    return DiskTransfer(context=CONTEXT, server_id=SERVER, task_id="t", url=url, key=key)


class World:
    """A source that offers and a destination that fetches."""

    def __init__(self, directory: Path, http: aiohttp.ClientSession, clock: ManualClock) -> None:
        self.clock = clock
        self.http = http
        self.offers = Offers(Compute(), clock)
        self.parked = directory / "parked"
        self.parked.mkdir()
        self.arrived = directory / "arrivals"
        self.arrivals = Arrivals(http, self.arrived, Compute())

    def park(self, name: str, content: bytes) -> GuestFile:
        path = self.parked / name
        path.write_bytes(content)
        return GuestFile(name=name, path=str(path))

    async def status(self, url: str, key: str = "", method: str = "GET") -> int:
        async with self.http.request(method, url, headers={KEY_HEADER: key}) as response:
            await response.read()
            return response.status


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as http:
        made = World(tmp_path, http, ManualClock(datetime(2026, 5, 1, tzinfo=UTC)))
        async with made.offers.served():
            yield made


async def test_every_file_arrives_as_it_was(world: World) -> None:
    contents = {"disk": os.urandom(3 * MIB + 17), "console.log": b"login:", "ephemeral": b""}
    files = [world.park(name, content) for name, content in contents.items()]

    found = await world.arrivals.fetch(order(*world.offers.make("a", SERVER, files)))

    assert {file.name: Path(file.path).read_bytes() for file in found} == contents
    assert {Path(file.path).parent for file in found} == {world.arrived / SERVER}


async def test_nothing_is_given_without_the_key(world: World) -> None:
    url, key = world.offers.make("a", SERVER, [world.park("disk", b"secret")])
    _, other_key = world.offers.make("b", SERVER, [world.park("other", b"x")])

    for wrong in ("", other_key, key[:-1], f"{key}x", "\u00e9"):
        assert await world.status(url, wrong) == 404
        assert await world.status(f"{url}/disk", wrong) == 404
        assert await world.status(url, wrong, method="DELETE") == 404
    assert await world.status(f"{url}/disk", key) == 200


@pytest.mark.parametrize("name", ["other", "..", "%2e%2e%2fsecret", "..%2Fsecret", "disk%00", "/etc/passwd"])
async def test_only_the_files_of_the_offer_are_given(world: World, name: str) -> None:
    (world.parked.parent / "secret").write_text("secret")
    url, key = world.offers.make("a", SERVER, [world.park("disk", b"mine")])
    world.park("other", b"not offered")

    assert await world.status(f"{url}/{name}", key) == 404


async def test_files_that_are_gone_are_not_there(world: World) -> None:
    file = world.park("disk", b"x")
    url, key = world.offers.make("a", SERVER, [file])
    Path(file.path).unlink()

    assert await world.status(url, key) == 404
    assert await world.status(f"{url}/disk", key) == 404
    with pytest.raises(OfferOver):
        await world.arrivals.fetch(order(url, key))


async def test_a_key_dies_with_its_offer(world: World) -> None:
    file = world.park("disk", b"x")
    first, second = world.offers.make("a", SERVER, [file]), world.offers.make("a", SERVER, [file])
    assert await world.status(*first) == 404
    assert await world.status(*second) == 200

    world.offers.withdraw("a", SERVER)
    assert await world.status(*second) == 404

    late = world.offers.make("a", SERVER, [file])
    await world.clock.sleep(Compute().transfer_timeout)
    assert await world.status(*late) == 404


async def test_whoever_has_fetched_everything_ends_the_offer(world: World) -> None:
    url, key = world.offers.make("a", SERVER, [world.park("disk", b"x")])

    await world.arrivals.finish(order(url, key))
    await world.arrivals.finish(order(url, key))

    with pytest.raises(OfferOver):
        await world.arrivals.fetch(order(url, key))


async def test_offers_of_other_guests_and_hosts_stay(world: World) -> None:
    offers = [world.offers.make(host, server, [world.park("disk", b"x")]) for host in "ab" for server in ("s", "t")]

    world.offers.withdraw("a", "s")

    assert [await world.status(*offer) for offer in offers] == [404, 200, 200, 200]


async def test_a_source_that_is_gone_is_waited_for(world: World) -> None:
    with pytest.raises(SourceAway):
        await world.arrivals.fetch(order("http://127.0.0.1:9/transfers/1", "k"))


async def test_a_fetch_begins_with_nothing_of_an_earlier_one(world: World) -> None:
    old = await world.arrivals.fetch(order(*world.offers.make("a", SERVER, [world.park("old", b"x")])))

    await world.arrivals.fetch(order(*world.offers.make("a", SERVER, [world.park("disk", b"y")])))
    assert not Path(old[0].path).exists()

    await world.arrivals.remove(SERVER)
    await world.arrivals.remove(SERVER)
    assert list(world.arrived.iterdir()) == []


async def test_a_key_shows_in_no_message_that_is_printed(world: World) -> None:
    url, key = world.offers.make("a", SERVER, [])

    assert key not in repr(order(url, key))


async def test_memory_does_not_grow_with_the_disk(world: World) -> None:
    path = world.parked / "disk"
    with path.open("wb") as stream:
        stream.truncate(96 * MIB)
    offer = order(*world.offers.make("a", SERVER, [GuestFile(name="disk", path=str(path))]))

    tracemalloc.start()
    try:
        (found,) = await world.arrivals.fetch(offer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert Path(found.path).stat().st_size == 96 * MIB
    assert peak < 24 * MIB


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def source(manifest: bytes, give: Answer) -> AsyncIterator[DiskTransfer]:
    """An old host that is not as it should be."""

    async def listed(_: web.Request) -> web.Response:
        return web.Response(body=manifest)

    app = web.Application()
    app.router.add_get("/t", listed)
    app.router.add_get("/t/{name}", give)
    async with serving(app, "127.0.0.1", 0) as port:
        yield order(f"http://127.0.0.1:{port}/t", "k")


def body(content: bytes, digest: bytes | None = None) -> Answer:
    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content + (hashlib.sha256(content).digest() if digest is None else digest))

    return give


async def test_a_file_that_does_not_have_the_digest_it_should_have_is_refused(world: World) -> None:
    manifest = b'{"files":[{"name":"disk","size":3}]}'
    async with source(manifest, body(b"abc", hashlib.sha256(b"abd").digest())) as offer:
        with pytest.raises(GuestFailed, match="its disk is not what its old host has sent"):
            await world.arrivals.fetch(offer)


@pytest.mark.parametrize("content", [b"", b"ab", b"abcd"])
async def test_a_file_that_is_not_as_long_as_it_was_said_is_fetched_again_later(world: World, content: bytes) -> None:
    async with source(b'{"files":[{"name":"disk","size":3}]}', body(content)) as offer:
        with pytest.raises(SourceAway):
            await world.arrivals.fetch(offer)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b'{"files":[{"name":"../disk","size":1}]}',
        b'{"files":[{"name":".ssh","size":1}]}',
        b'{"files":[{"name":"","size":1}]}',
        b'{"files":[{"name":"disk","size":-1}]}',
        b'{"files":[{"name":"disk","size":1},{"name":"disk","size":1}]}',
        b'{"files":[{"name":"disk","size":9223372036854775807}]}',
        b'{"files":[' + b",".join(b'{"name":"d%d","size":1}' % number for number in range(20)) + b"]}",
    ],
)
async def test_a_manifest_that_is_none_is_refused(world: World, manifest: bytes) -> None:
    async with source(manifest, body(b"x")) as offer:
        with pytest.raises(GuestFailed):
            await world.arrivals.fetch(offer)


async def test_a_source_that_falls_silent_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "IDLE", 0.2)

    async def stuck(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(5.0)
        return response

    async with source(b'{"files":[{"name":"disk","size":68}]}', stuck) as offer:
        async with asyncio.timeout(4.0):
            with pytest.raises(SourceAway):
                await world.arrivals.fetch(offer)


async def test_a_destination_that_reads_nothing_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "IDLE", 0.2)
    url, key = world.offers.make("a", SERVER, [world.park("disk", bytes(64 * MIB))])

    async with world.http.get(f"{url}/disk", headers={KEY_HEADER: key}) as response:
        await asyncio.sleep(1.0)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_destination_that_dies_while_it_fetches_is_nothing_to_be_alarmed_about(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    url, key = world.offers.make("a", SERVER, [world.park("disk", bytes(64 * MIB))])

    async with world.http.get(f"{url}/disk", headers={KEY_HEADER: key}) as response:
        await response.content.read(1)
        response.close()

    async with asyncio.timeout(10.0):
        while "has gone away" not in caplog.text:
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
