"""How the bus enters a real broker: over TLS, with certificates, and with credentials from a file that may change."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from novaflow.config import Bus, Config, Trace
from rpc.address import Address, Node, Tls
from rpc.amqp import AmqpTransport
from rpc.bus import BusSettings
from rpc.connect import open_transport
from rpc.errors import BusError, Misconfigured, NotConnected, Refused
from rpc.procedure import Call
from rpc.transport import Transport
from services.private.tls import PrivateTls
from services.runtime import opened
from tests.support.bus import PATIENCE, Answer, Ask, Log, RabbitPlace, World, add_one, until
from tests.support.lasting import lasting
from tests.support.rabbitmq import RabbitMQ

SETTINGS = BusSettings(drain_timeout=5.0, retry_delay=0.02, publish_timeout=PATIENCE)
IMPATIENT = replace(SETTINGS, publish_timeout=1.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PrivateTls:
    return PrivateTls.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> PrivateTls:
    """What another authority signs."""
    return PrivateTls.make(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def node(files: PrivateTls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with lasting(RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), tls=files)) as node:
        yield node


@pytest.fixture
def address(node: RabbitMQ, files: PrivateTls) -> Address:
    return Address.parse(node.tls_url, tls=Tls(ca_file=files.ca_file))


class Entered(RabbitPlace):
    """A node that is entered by an address."""

    def __init__(self, node: RabbitMQ, address: Address, *, plain: bool = False) -> None:
        super().__init__(node)
        self._address = address
        self._plain = plain

    async def connect(self, settings: BusSettings) -> Transport:
        return await AmqpTransport.open(self._address, settings, plain=self._plain)


@pytest.fixture(params=[False, True], ids=["our own path", "aiormq's path"])
async def world(node: RabbitMQ, address: Address, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world = World(Entered(node, address, plain=request.param), SETTINGS)
    yield world
    await world.close()


class Rotating:
    """A user of the node whose password changes, and the file it is kept in."""

    def __init__(self, node: RabbitMQ, file: Path) -> None:
        self.file = file
        self.password = secrets.token_hex(8)
        self._node = node
        self._name = f"rotating-{secrets.token_hex(4)}"

    async def create(self) -> None:
        await self._node.ctl("add_user", self._name, self.password)
        await self._node.ctl("set_permissions", self._name, ".*", ".*", ".*")

    async def change(self) -> None:
        """In the broker alone."""
        self.password = secrets.token_hex(8)
        await self._node.ctl("change_password", self._name, self.password)

    def write(self, mode: int = 0o600) -> None:
        """Replace the file, as a secret store does: at once."""
        fresh = self.file.with_name("fresh")
        fresh.touch()
        fresh.write_text(json.dumps({"user": self._name, "password": self.password}))
        fresh.chmod(mode)
        fresh.replace(self.file)


@pytest.fixture
async def rotating(node: RabbitMQ, tmp_path: Path) -> Rotating:
    rotating = Rotating(node, tmp_path / "credentials.json")
    await rotating.create()
    rotating.write()
    return rotating


async def refusal(address: Address, settings: BusSettings = SETTINGS) -> str:
    """Why the broker is not entered; found out well before anybody would call it a hang."""
    began = time.monotonic()
    with pytest.raises(Refused) as caught:
        await open_transport(address, settings)
    assert time.monotonic() - began < PATIENCE / 2
    assert address.password not in str(caught.value)
    return str(caught.value)


async def test_calls_and_casts_work_over_tls(world: World, node: RabbitMQ) -> None:
    log = Log()
    await world.serve(add=add_one, do=log, host="h1")
    client = await world.bus()

    answers = await asyncio.gather(*(client.call(world.add, Ask(number=n, text="x" * 20_000)) for n in range(50)))
    await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(50)))

    assert answers == [Answer(number=n + 1, text="x" * 20_000) for n in range(50)]
    assert sorted(await log.until(lambda numbers: len(numbers) == 50)) == list(range(50))
    seen = await node.ctl("list_connections", "--no-table-headers", "port", "ssl")
    assert {tuple(line.split()) for line in seen.splitlines() if line} == {(str(node.tls_port), "true")}


async def test_a_lost_tls_connection_comes_back(world: World) -> None:
    log = Log()
    await world.serve(do=log)
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await log.until(lambda numbers: numbers == [1])

    await world.place.sever()
    await client.cast(world.do, Ask(number=2))

    assert set(await log.until(lambda numbers: 2 in numbers)) == {1, 2}


async def test_a_broker_of_another_authority_is_refused(address: Address, others: PrivateTls) -> None:
    assert "not trusted" in await refusal(replace(address, tls=Tls(ca_file=others.ca_file)))


async def test_a_broker_that_no_authority_of_the_machine_vouches_for_is_refused(address: Address) -> None:
    assert "not trusted" in await refusal(replace(address, tls=Tls()))


async def test_a_broker_of_another_name_is_refused(address: Address, node: RabbitMQ) -> None:
    told = await refusal(replace(address, nodes=(Node("127.1", node.tls_port),)))

    assert "not trusted" in told
    assert "127.1" in told


async def test_a_port_without_tls_is_refused(address: Address, node: RabbitMQ) -> None:
    assert "does not speak TLS" in await refusal(replace(address, nodes=(Node("127.0.0.1", node.port),)))


async def test_any_broker_is_believed_if_that_is_asked_for(address: Address) -> None:
    transport = await open_transport(replace(address, tls=Tls(verify=False)), SETTINGS)

    await transport.close()


async def test_a_port_with_tls_is_not_entered_without(address: Address) -> None:
    began = time.monotonic()
    with pytest.raises(BusError):
        await open_transport(replace(address, tls=None), IMPATIENT)

    assert time.monotonic() - began < PATIENCE / 2


async def test_the_broker_sees_our_certificate(address: Address, files: PrivateTls, node: RabbitMQ) -> None:
    tls = Tls(ca_file=files.ca_file, cert_file=files.client_cert_file, key_file=files.client_key_file)
    transport = await open_transport(replace(address, tls=tls), SETTINGS)

    seen = await node.ctl("list_connections", "--no-table-headers", "peer_cert_subject")
    await transport.close()

    assert "CN=client" in seen.splitlines()


async def test_a_certificate_that_the_broker_does_not_trust_lets_nobody_in(
    address: Address, files: PrivateTls, others: PrivateTls
) -> None:
    tls = Tls(ca_file=files.ca_file, cert_file=others.client_cert_file, key_file=others.client_key_file)
    began = time.monotonic()

    # The broker says so after the handshake, and hangs up; whether its word or its hanging up is seen first is chance.
    with pytest.raises((Refused, NotConnected)):
        await open_transport(replace(address, tls=tls), IMPATIENT)

    assert time.monotonic() - began < PATIENCE / 2


async def test_a_wrong_password_is_refused_and_not_repeated(address: Address) -> None:
    assert "refused" in await refusal(replace(address, password="wr0ng-s3cret"))


async def test_a_virtual_host_that_is_not_there_is_refused(address: Address) -> None:
    assert "'no such/vhost'" in await refusal(replace(address, vhost="no such/vhost"))


async def test_a_dead_node_is_passed_over(address: Address, node: RabbitMQ, unused_tcp_port: int) -> None:
    nodes = (Node("127.0.0.1", unused_tcp_port), Node("localhost", node.tls_port))

    transport = await open_transport(replace(address, nodes=nodes), SETTINGS)

    await transport.close()


async def test_changed_credentials_are_used_from_the_next_connection_on(
    node: RabbitMQ, files: PrivateTls, rotating: Rotating
) -> None:
    url = f"amqps://127.0.0.1:{node.tls_port}/"
    address = Address.parse(url, credentials_file=rotating.file, tls=Tls(ca_file=files.ca_file))
    world = World(Entered(node, address), SETTINGS)
    await world.serve(add=add_one)
    client = await world.bus()
    assert await client.call(world.add, Ask(number=1)) == Answer(number=2)

    await rotating.change()
    rotating.write()
    await world.place.sever()
    assert await client.call(world.add, Ask(number=2)) == Answer(number=3)

    await world.close()


async def test_credentials_that_are_wrong_for_a_while_are_tried_until_they_are_right(
    node: RabbitMQ, files: PrivateTls, rotating: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"amqps://127.0.0.1:{node.tls_port}/"
    address = Address.parse(url, credentials_file=rotating.file, tls=Tls(ca_file=files.ca_file))
    world = World(Entered(node, address), SETTINGS)
    log = Log()
    await world.serve(do=log)
    client = await world.bus()

    first = rotating.password
    await rotating.change()
    await world.place.sever()
    waiting = asyncio.create_task(client.cast(world.do, Ask(number=1)))
    await until(lambda: "refused the connection" in caplog.text)
    rotating.write(mode=0o644)
    await until(lambda: "has mode 0644" in caplog.text)
    rotating.file.unlink()
    await until(lambda: "cannot be read: No such file" in caplog.text)
    assert not waiting.done()
    rotating.write()
    async with asyncio.timeout(PATIENCE):
        await waiting

    await log.until(lambda numbers: 1 in numbers)
    await world.close()
    assert first not in caplog.text
    assert rotating.password not in caplog.text


async def test_a_credentials_file_that_others_may_read_stops_the_start(node: RabbitMQ, rotating: Rotating) -> None:
    address = Address.parse(f"amqp://127.0.0.1:{node.port}/", credentials_file=rotating.file)
    rotating.write(mode=0o640)

    with pytest.raises((Refused, Misconfigured), match="has mode 0640"):
        await open_transport(address, SETTINGS)


async def test_a_service_finds_the_broker_by_its_configuration(
    node: RabbitMQ, files: PrivateTls, rotating: Rotating, tmp_path: Path
) -> None:
    add = Call(topic=f"t{secrets.token_hex(4)}", method="add_one", request=Ask, reply=Answer)
    bus = Bus(
        url=f"amqps://127.0.0.1:{node.tls_port}/",
        credentials_file=str(rotating.file),
        tls_ca_file=str(files.ca_file),
        tls_cert_file=str(files.client_cert_file),
        tls_key_file=str(files.client_key_file),
    )
    config = Config(state_dir=str(tmp_path / "state"), bus=bus, trace=Trace(enabled=False))
    async with opened(config, "test") as runtime:
        service = await runtime.bus("test")
        service.on_call(add, add_one)
        await service.serve(add.topic)

        assert await service.call(add, Ask(number=1)) == Answer(number=2)
        await service.close()
