"""Contestants of `novaflow bench queue` over a real RabbitMQ: everything is handled once, and the figures are whole."""

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from novaflow.lab.queue.contestants.protocol import UNSUPPORTED, Board
from novaflow.lab.queue.limit import prepare_limit
from novaflow.lab.queue.peers import CATALOGUE, Contestant, NotAvailable

MESSAGES = 300
SIZES = [64, 1024, 200_000, 5000]  # one that needs several frames
# Those that need nothing but what the project itself installs.
PEERS = ("aio-pika", "aio-pika.patterns")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contestants")


async def limit_or_skip(cache: Path) -> Contestant:
    try:
        return await prepare_limit(cache, print)
    except NotAvailable as error:
        pytest.skip(str(error))


@pytest.fixture(params=["limit", *PEERS])
async def contestant(request: pytest.FixtureRequest, cache: Path) -> Contestant:
    if request.param == "limit":
        return await limit_or_skip(cache)
    peer = CATALOGUE[request.param]
    return Contestant(
        request.param, (sys.executable, str(peer.path)), peer.patterns, peer.durabilities, peer.environment
    )


class Bench:
    """Servers and a client of one contestant on one queue."""

    def __init__(self, contestant: Contestant, url: str, directory: Path, durability: str) -> None:
        self._command = contestant.command
        self._common = ("--url", url, "--queue", f"bench-{secrets.token_hex(4)}", "--durability", durability)
        self._directory = directory
        self.boards: list[Board] = []
        self._paths: list[str] = []

    @asynccontextmanager
    async def server(self) -> AsyncIterator[None]:
        path = str(self._directory / f"board{len(self.boards)}")
        self.boards.append(Board.create(path, MESSAGES))
        self._paths.append(path)
        process = await asyncio.create_subprocess_exec(
            *self._command, "server", *self._common, "--prefetch", "64", "--board", path, stdout=PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(30):
                assert await process.stdout.readline() == b"ready\n"
            yield
        finally:
            status = await self._end(process)
        assert status == 0

    async def client(self, op: str, *, in_flight: int = 16) -> dict[str, Any]:
        sizes = self._directory / "sizes"
        sizes.write_text(json.dumps(SIZES))
        boards = [word for path in self._paths for word in ("--board", path)]
        asked = ("--op", op, "--in-flight", str(in_flight), "--messages", str(MESSAGES), "--sizes", str(sizes))
        process = await asyncio.create_subprocess_exec(
            *self._command, "client", *self._common, *asked, *boards, stdout=PIPE
        )
        try:
            async with asyncio.timeout(60):
                printed, _ = await process.communicate()
        finally:
            status = await self._end(process)
        assert status == 0
        report: dict[str, Any] = json.loads(printed)
        return report

    async def _end(self, process: Process) -> int:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()


@pytest.mark.parametrize("op", ["call", "cast"])
@pytest.mark.parametrize("durability", ["transient", "durable", "quorum"])
async def test_every_message_is_handled_once(
    contestant: Contestant, rabbitmq_url: str, tmp_path: Path, op: str, durability: str
) -> None:
    bench = Bench(contestant, rabbitmq_url, tmp_path, durability)

    async with bench.server():
        report = await bench.client(op)

    assert report["errors"] == 0
    assert bench.boards[0].times == bytes([1]) * MESSAGES
    assert bench.boards[0].total == MESSAGES
    assert 0 < report["sent_seconds"] <= report["seconds"]
    assert report["cpu_s"] > 0
    assert len(report["quantiles_us"]) == 101
    assert 0 < report["quantiles_us"][0] <= report["quantiles_us"][50] <= report["quantiles_us"][100]


async def test_a_fanout_reaches_every_server(contestant: Contestant, rabbitmq_url: str, tmp_path: Path) -> None:
    if "fanout" not in contestant.patterns:
        pytest.skip(f"{contestant.name} has no fanout")
    bench = Bench(contestant, rabbitmq_url, tmp_path, "transient")

    async with bench.server(), bench.server():
        report = await bench.client("fanout")

    assert report["errors"] == 0
    assert [board.times for board in bench.boards] == [bytes([1]) * MESSAGES] * 2


async def test_a_pattern_that_a_library_lacks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sizes").write_text("[64]")
    asked = f"client --op fanout --messages 1 --sizes {tmp_path}/sizes --url amqp://h/ --queue q --board none"

    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CATALOGUE["aio-pika.patterns"].path), *asked.split(), stderr=PIPE
    )
    async with asyncio.timeout(30):
        _, said = await process.communicate()

    assert process.returncode == UNSUPPORTED
    assert said == b"no fanout over RabbitMQ with this library\n"


async def test_a_broker_that_refuses_is_told_without_the_password(
    cache: Path, rabbitmq_url: str, tmp_path: Path
) -> None:
    limit = await limit_or_skip(cache)
    Board.create(str(tmp_path / "board"), 1)
    wrong = rabbitmq_url.replace("@", "-wrong@")

    process = await asyncio.create_subprocess_exec(
        *limit.command, "server", "--url", wrong, "--queue", "q", "--board", str(tmp_path / "board"), stderr=PIPE
    )
    async with asyncio.timeout(30):
        _, said = await process.communicate()

    assert process.returncode == 1
    assert b"login" in said
    assert b"wrong" not in said
