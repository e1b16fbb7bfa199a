"""The metadata service as a guest has it: by its wire, its host's proxy and HTTP, on both databases."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from novaflow.clock import Clock, SystemClock
from novaflow.config import Config
from novaflow.db.database import Database
from novaflow.db.ec2_ids import INSTANCE, Ec2Ids
from novaflow.db.floating_addresses import FloatingAddresses
from novaflow.db.guest_passwords import GuestPasswords
from novaflow.db.guest_plans import GuestPlans
from novaflow.db.security_members import SecurityMembers
from novaflow.db.servers import NewServer, Servers
from novaflow.models import Context, Flavor, InjectedFile
from novaflow.operations.guest_facts import GuestFactOperations
from novaflow.operations.guest_passwords import MOST_BYTES, GuestPasswordOperations
from novaflow.quotas import QuotaLimits
from novaflow.virt.guest_facts import EC2_VERSIONS, OPENSTACK_VERSIONS
from novaflow.virt.wire.frames import HOPS
from novaflow.virt.wire.laid import LaidWire, note
from rpc.tracing import Discard, Tracer
from services import guest_identity
from services.api.metadata.app import Metadata, create_app
from services.api.metadata.tokens import HEADER, TTL_HEADER
from services.compute.metadata import proxy
from services.compute.metadata.proxy import MetadataProxy
from services.compute.metadata.wires import GuestWires
from services.guest_identity import signed
from services.web import serving, traced
from tests.support.clocks import ManualClock
from tests.support.guest_wire import WITHIN, Guest, laid
from tests.support.libvirt import short_directory

SECRET = b"a secret of the cloud"
SCRIPT = b"#!/bin/sh\necho hello\n"
KEY = "ssh-ed25519 AAAA me@here"


@dataclass
class Service:
    """The service over a database with two servers, and how it is reached as a compute host reaches it."""

    url: str
    first: str
    second: str
    http: aiohttp.ClientSession

    async def get(self, path: str, *, method: str = "GET", server: str = "", **headers: str) -> tuple[int, str]:
        """Ask as the first server, or as that one."""
        named = signed(SECRET, server or self.first) | headers
        async with self.http.request(method, f"{self.url}/{path}", headers=named) as answer:
            return answer.status, await answer.text()

    async def post(self, data: bytes, *, version: str = "latest", server: str = "", method: str = "POST") -> int:
        """Post a password as the first server, or as that one."""
        url, named = f"{self.url}/openstack/{version}/password", signed(SECRET, server or self.first)
        async with self.http.request(method, url, headers=named, data=data) as answer:
            return answer.status


async def server(database: Database, name: str) -> str:
    """A server that was just accepted."""
    context = Context(request_id="req-1", user_id="user", project_id="project")
    draft = NewServer(
        name=name,
        hostname=name,
        flavor=Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=64, disk_gb=1),
        image_id="11223344-0000-4000-8000-000000000002",
        kernel_id="11223344-0000-4000-8000-000000000003",
        availability_zone="nova",
        key_name="mine",
        public_key=KEY,
        user_data=base64.b64encode(SCRIPT + name.encode()).decode(),
        files=(InjectedFile(path="/etc/motd", contents=base64.b64encode(b"welcome").decode()),),
    )
    (made,) = await Servers(database, SystemClock()).create(context, [draft], QuotaLimits())
    return made.id


def facts_of(database: Database) -> GuestFactOperations:
    """The facts of all servers, from the database."""
    floating = FloatingAddresses(database, Config().network.floating_cidr)
    return GuestFactOperations(GuestPlans(database), Ec2Ids(database), SecurityMembers(database), floating, Config())


@asynccontextmanager
async def serve(database: Database, clock: Clock, *, requires_token: bool = False) -> AsyncIterator[Service]:
    """Such a service."""
    metadata = Metadata(
        facts=facts_of(database),
        passwords=GuestPasswordOperations(GuestPasswords(database), Servers(database, clock)),
        clock=clock,
        secret=SECRET,
        requires_token=requires_token,
    )
    app = create_app(metadata, trace=traced(Tracer("nova-api", Discard())))
    first, second = await server(database, "first"), await server(database, "second")
    async with serving(app, "127.0.0.1", 0) as port, aiohttp.ClientSession() as http:
        yield Service(f"http://127.0.0.1:{port}", first, second, http)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
async def service(database: Database, clock: ManualClock) -> AsyncIterator[Service]:
    async with serve(database, clock) as made:
        yield made


async def test_the_trees_are_listed_as_novas(service: Service) -> None:
    versions = (await service.get(""))[1].split("\n")
    assert versions == [*EC2_VERSIONS, "latest"]
    for version in versions:
        assert (await service.get(f"{version}/"))[1] == "meta-data/\nuser-data"
        names = (await service.get(f"{version}/meta-data/"))[1].split("\n")
        assert {"ami-id", "hostname", "instance-id", "local-ipv4", "public-keys/"} <= set(names)
        assert ("placement/" in names) == (version >= "2008-02-01")
        assert ("local-hostname" in names) == (version >= "2007-01-19")
    assert (await service.get("openstack/"))[1].split("\n") == [*OPENSTACK_VERSIONS, "latest"]
    assert (await service.get("openstack/latest"))[1].split("\n") == [
        "meta_data.json", "network_data.json", "password", "user_data", "vendor_data.json", "vendor_data2.json",
    ]  # fmt: skip


async def test_a_server_is_told_of_itself(service: Service) -> None:
    texts = {
        "latest/meta-data/hostname": "first.novalocal",
        "latest/meta-data/placement/availability-zone": "nova",
        "latest/meta-data/block-device-mapping/root": "/dev/vda",
        "latest/meta-data/public-keys": "0=mine",
        "latest/meta-data/public-keys/0/": "openssh-key",
        "latest/meta-data/public-keys/0/openssh-key": KEY,
        "latest/meta-data/security-groups": "default",
        "latest/meta-data/public-ipv4": "",
        "latest/user-data": f"{SCRIPT.decode()}first",
        "openstack/latest/user_data": f"{SCRIPT.decode()}first",
        "openstack/content/0000": "welcome",
        "openstack/latest/password": "",
    }

    assert {path: await service.get(path) for path in texts} == {path: (200, text) for path, text in texts.items()}
    facts = json.loads((await service.get("openstack/latest/meta_data.json"))[1])
    assert (facts["uuid"], facts["public_keys"]) == (service.first, {"mine": KEY})


async def test_ids_are_those_of_the_ec2_api(service: Service, database: Database) -> None:
    number = await Ec2Ids(database).number(INSTANCE, service.first)

    assert (await service.get("latest/meta-data/instance-id"))[1] == f"i-{number:08x}"
    other = (await service.get("latest/meta-data/instance-id", server=service.second))[1]
    assert re.fullmatch("i-[0-9a-f]{8}", other)
    assert other != f"i-{number:08x}"
    assert (await service.get("latest/meta-data/ami-id"))[1].startswith("ami-")
    assert (await service.get("latest/meta-data/kernel-id"))[1].startswith("aki-")


@pytest.mark.parametrize(
    "path",
    ["2099-01-01/", "latest/meta-data/nothing", "latest/meta-data/hostname/more", "openstack/2012-08-10/network_data.json",
     "openstack/content/0001", "openstack/content", "1.0/meta-data/placement", "openstack/1.0/"],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(service: Service, path: str) -> None:
    assert (await service.get(path))[0] == 404


async def test_nobody_is_told_anything_without_a_good_signature(service: Service) -> None:
    nobody = {guest_identity.ID: "", guest_identity.SIGNATURE: ""}
    forged = {guest_identity.SIGNATURE: signed(SECRET, service.second)[guest_identity.SIGNATURE]}
    foreign = signed(b"another secret", service.first)

    assert (await service.get("latest/", **nobody))[0] == 400
    assert (await service.get("latest/", **forged)) == (403, "Invalid proxy request signature.")
    assert (await service.get("latest/", **foreign))[0] == 403
    assert (await service.get("latest/", **{guest_identity.SIGNATURE: "\u00e9"}))[0] == 403
    assert (await service.get("latest/", server="another"))[0] == 404
    assert not guest_identity.is_signed(SECRET, service.first, "\udcff")  # a byte that is no UTF-8
    assert not guest_identity.is_signed(SECRET, "\udcff", "")


async def test_a_token_is_good_for_its_guest_and_its_time(service: Service, clock: ManualClock) -> None:
    status, token = await service.get("latest/api/token", method="PUT", **{TTL_HEADER: "60"})
    shown = {HEADER: token}

    assert status == 200
    assert (await service.get("latest/", **shown))[0] == 200
    assert (await service.get("latest/", server=service.second, **shown))[0] == 401
    assert (await service.get("latest/", **{HEADER: token[:-4] + "AAA="}))[0] == 401
    clock.advance(timedelta(seconds=60))
    assert (await service.get("latest/", **shown))[0] == 401
    assert (await service.get("latest/"))[0] == 200


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "1.5", "x", "\u0662", "9" * 50])
async def test_a_token_has_a_time_to_live(service: Service, ttl: str) -> None:
    assert (await service.get("latest/api/token", method="PUT", **{TTL_HEADER: ttl}))[0] == 400


async def test_tokens_are_put_and_not_through_proxies(service: Service) -> None:
    assert (await service.get("latest/api/token"))[0] == 405
    forwarded = {TTL_HEADER: "60", "X-Forwarded-For": "10.0.0.9"}
    assert (await service.get("latest/api/token", method="PUT", **forwarded))[0] == 403
    assert (await service.get("latest/user-data", method="POST"))[0] == 405


async def test_where_tokens_are_required_ec2_tells_nothing_without(database: Database, clock: ManualClock) -> None:
    async with serve(database, clock, requires_token=True) as service:
        assert (await service.get("latest/user-data"))[0] == 401
        assert (await service.get("openstack/latest/user_data"))[0] == 200
        _, token = await service.get("latest/api/token", method="PUT", **{TTL_HEADER: "60"})
        assert (await service.get("latest/user-data", **{HEADER: token}))[0] == 200


async def test_a_guest_posts_its_password_once(service: Service) -> None:
    longest = b"e" * MOST_BYTES

    assert await service.post(b"") == 200
    assert await service.post(longest) == 200
    assert await service.post(b"another") == 409
    assert await service.post(longest) == 409
    assert await service.get("openstack/2013-04-04/password") == (200, longest.decode())
    assert await service.get("openstack/latest/password", server=service.second) == (200, "")


async def test_of_many_passwords_at_once_one_is_kept(service: Service) -> None:
    statuses = await asyncio.gather(*(service.post(b"password %d" % number) for number in range(8)))

    assert sorted(statuses) == [200] + [409] * 7
    kept = (await service.get("openstack/latest/password"))[1]
    assert kept == f"password {statuses.index(200)}"


async def test_what_is_too_large_or_no_text_is_no_password(service: Service) -> None:
    assert await service.post(b"e" * (MOST_BYTES + 1)) == 400
    assert await service.post(b"\xff\xfe") == 400
    assert await service.post(b"early", version="2012-08-10") == 405
    assert await service.post(b"put", method="PUT") == 400
    assert await service.post(b"nobody's", server="another") == 404
    assert await service.get("openstack/latest/password") == (200, "")


@pytest.fixture
async def guests(service: Service) -> AsyncIterator[list[Guest]]:
    """Both servers' guests, on a host that has just started."""
    with short_directory() as directory:
        wires = [laid(directory / server_id) for server_id in (service.first, service.second)]
        for wire in wires:
            Path(wire.directory).mkdir()
            note(Path(wire.directory), wire)
        made = [Guest(wire) for wire in wires]
        async with host(directory, service):
            await heard(wires)
            yield made
        for guest in made:
            guest.close()


@asynccontextmanager
async def host(directory: Path, service: Service) -> AsyncIterator[None]:
    """What a compute host does for the guests in a directory."""
    passing = MetadataProxy(service.http, service.url, SECRET, 1)
    server = web.Server(passing.answer, access_log=None)
    running = asyncio.create_task(GuestWires(directory, server).run())
    yield
    running.cancel()
    await asyncio.wait([running])
    await server.shutdown(1.0)


async def heard(wires: list[LaidWire]) -> None:
    """Wait until the host is on all of these."""
    async with asyncio.timeout(WITHIN):
        while not all(Path(wire.host_end).exists() for wire in wires):
            await asyncio.sleep(0.02)


def request(path: str, method: str = "GET", **headers: str) -> bytes:
    """As it is on the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 169.254.169.254", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode()


async def test_each_guest_is_known_by_its_wire_whatever_it_says(service: Service, guests: list[Guest]) -> None:
    for guest, other, name in ((guests[0], service.second, "first"), (guests[1], service.first, "second")):
        answer = await guest.ask(request("/latest/user-data", **signed(SECRET, other)))

        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(SCRIPT + name.encode())


async def test_the_answer_with_a_token_passes_no_router(guests: list[Guest]) -> None:
    guest = guests[0]

    answer = await guest.ask(request("/latest/api/token", "PUT", **{TTL_HEADER: "60"}))
    assert guest.hops[0] == HOPS
    assert guest.hops[-1] == 1
    token = answer.partition(b"\r\n\r\n")[2].decode()
    guest.hops.clear()

    assert (await guest.ask(request("/latest/", **{HEADER: token}))).startswith(b"HTTP/1.1 200 OK")
    assert set(guest.hops) == {HOPS}


async def test_what_is_asked_behind_a_token_does_not_take_it_over_a_router(guests: list[Guest]) -> None:
    guest = guests[0]
    token = request("/latest/api/token", "PUT", **{TTL_HEADER: "60"}).replace(b"Connection: close\r\n", b"")

    answer = await guest.ask(token + request("/latest/"))

    assert answer.count(b"HTTP/1.1 200 OK") == 2
    with_token = guest.hops.index(1)
    assert set(guest.hops[:with_token]) == {HOPS}
    assert set(guest.hops[with_token:]) == {1}


@pytest.mark.parametrize("path", ["http://example.org/", "*", "//example.org/latest/"])
async def test_a_guest_reaches_nobody_but_the_service(guests: list[Guest], path: str) -> None:
    answer = await guests[0].ask(request(path))

    assert answer.split()[1] in (b"400", b"404")


async def test_a_guest_is_heard_again_after_its_host_has_restarted(service: Service) -> None:
    with short_directory() as directory:
        wire = laid(directory / service.first)
        Path(wire.directory).mkdir()
        note(Path(wire.directory), wire)
        guest = Guest(wire)
        for _ in range(2):
            async with host(directory, service):
                await heard([wire])
                assert (await guest.ask(request("/latest/user-data"))).endswith(b"first")
            Path(wire.host_end).unlink()
        guest.close()


async def test_a_request_is_bounded_however_it_is_sent(guests: list[Guest], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "MOST_BYTES", 64)
    post = request("/openstack/latest/password", "POST", **{"Transfer-Encoding": "chunked"})

    answers = [await guests[0].ask(post + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)) for size in (65, 64)]

    assert [answer.split()[1] for answer in answers] == [b"413", b"200"]


async def test_a_service_that_is_away_is_said_to_be(service: Service) -> None:
    service = replace(service, url="http://127.0.0.1:1")
    with short_directory() as directory:
        wire = laid(directory / service.first)
        Path(wire.directory).mkdir()
        note(Path(wire.directory), wire)
        guest = Guest(wire)
        async with host(directory, service):
            await heard([wire])
            assert (await guest.ask(request("/latest/"))).startswith(b"HTTP/1.1 503")
        guest.close()


async def test_a_password_comes_by_the_guests_wire(service: Service, guests: list[Guest]) -> None:
    posted = request("/openstack/latest/password", "POST", **{"Content-Length": "9"}) + b"encrypted"

    assert (await guests[1].ask(posted)).startswith(b"HTTP/1.1 200 OK")
    assert await service.get("openstack/latest/password", server=service.second) == (200, "encrypted")
    assert await service.get("openstack/latest/password") == (200, "")
