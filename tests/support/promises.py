"""The delivery promises under load: a publisher and a consumer as processes of their own, and what each of them knew.

Hundreds of messages are in flight when something is killed. Afterwards the journals tell: whatever the publisher was told
was sent must have been handled, once or more often.
"""

import asyncio
import os
import random
import re
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from rpc.address import Address
from rpc.queues import open_queues
from tests.support.promise_messages import CALL_TIMEOUT, READY, Plan

PATIENCE: Final = 60.0  # seconds that anything may take on a busy machine
CALL_SLACK: Final = 2.0  # seconds by which a caller on a busy machine may hear late that its time is over
IN_FLIGHT: Final = 300  # casts under way at a time
_POLL: Final = 0.02
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


class Program:
    """One of the two programs as a process, started and ended as often as a test likes."""

    def __init__(self, module: str, plan: Plan) -> None:
        self.plan = plan
        self._module = module
        self._starts = 0
        self._process: asyncio.subprocess.Process | None = None

    def peers(self) -> set[int]:
        """The ports that it is connected to, as the kernel knows them: proc(5), net/tcp."""
        assert self._process is not None
        descriptors = Path(f"/proc/{self._process.pid}/fd").iterdir()
        inodes = {match[1] for one in descriptors if (match := _SOCKET.fullmatch(os.readlink(one)))}
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {int(line[2].partition(":")[2], 16) for line in lines if line[9] in inodes}

    async def start(self) -> None:
        """Start it and wait until it is at work."""
        self._starts += 1
        # Another start is another process: it must not use the ids of the one before.
        plan = msgspec.structs.replace(self.plan, name=f"{self.plan.name}{self._starts}")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._module), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(msgspec.json.encode(plan) + b"\n")
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        assert line.decode().strip() == READY, f"{self._module} did not start"

    async def kill9(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self._process = None

    async def end(self) -> None:
        """Have it finish what it has begun, and end."""
        if self._process is None:
            return
        assert self._process.stdin
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            status = await self._process.wait()
        self._process = None
        assert status == 0, f"{self._module} ended with status {status}"

    async def dispose(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self._process is not None and self._process.returncode is None:
            await self.kill9()


class Record:
    """A journal as a test reads it while it is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._lines: dict[str, list[list[str]]] = {}

    def of(self, kind: str) -> list[list[str]]:
        """What follows `kind` on every line that begins with it."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.decode().splitlines():
                first, *rest = line.split()
                self._lines.setdefault(first, []).append(rest)
        return self._lines.get(kind, [])


@dataclass
class Outcome:
    """What became of the messages of one run."""

    sent: set[str]
    handled: Counter[str]
    refused: list[list[str]]
    cancelled: list[list[str]]
    calls: list[list[str]]
    left: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> set[str]:
        """Promised and not done."""
        return self.sent - self.handled.keys()

    @property
    def twice(self) -> int:
        """How many came more than once."""
        return sum(count > 1 for count in self.handled.values())

    @property
    def late_calls(self) -> list[list[str]]:
        """Calls that neither were answered nor failed within their time."""
        return [call for call in self.calls if float(call[2]) > CALL_TIMEOUT + CALL_SLACK]

    def __str__(self) -> str:
        calls = dict(Counter(call[1] for call in self.calls))
        return (
            f"{len(self.sent)} sent, {len(self.lost)} lost, {self.twice} came twice, {len(self.refused)} refused, "
            f"calls {calls}, left {self.left}"
        )


class Load:
    """A publisher, a consumer, and their journals. `dice` choose the moments at which a test does harm."""

    def __init__(self, directory: Path, seed: int, plan: Plan) -> None:
        self.dice = random.Random(seed)
        self._plan = plan
        self._sent = Record(directory / "publisher")
        self._done = Record(directory / "consumer")
        self.publisher = Program("tests.support.promise_publisher", _told(plan, "p", directory / "publisher"))
        self.consumer = Program("tests.support.promise_consumer", _told(plan, "c", directory / "consumer"))

    async def start(self) -> None:
        """Both at work."""
        await asyncio.gather(self.consumer.start(), self.publisher.start())

    @property
    def topic(self) -> str:
        """Where the messages go; the name of their queue."""
        return self._plan.topic

    @property
    def sent(self) -> int:
        """Messages promised so far."""
        return len(self._sent.of("sent"))

    async def goes_on(self, at_least: int = IN_FLIGHT) -> None:
        """Wait until so many more are sent, and then for a moment that the dice choose."""
        enough = self.sent + at_least
        await self._until(lambda: self.sent >= enough, "nothing more is sent")
        await asyncio.sleep(self.dice.random() * 0.15)

    async def finish(self, url: str, patience: float = PATIENCE) -> Outcome:
        """Send nothing more, let the consumer deal with everything, end both; then look into the queues at `url`."""
        await self.publisher.end()
        outcome = self._outcome()
        ends = time.monotonic() + patience
        while outcome.lost and time.monotonic() < ends:
            await asyncio.sleep(_POLL)
            outcome = self._outcome()
        await self.consumer.end()
        outcome = self._outcome()
        outcome.left = await self._left(url)
        print(outcome)
        return outcome

    async def _left(self, url: str) -> dict[str, int]:
        """Queues that are not empty, and what they hold. Nobody consumes: nothing is unacknowledged."""
        topic = self._plan.topic
        async with open_queues(Address.parse(url)) as queues:
            depths = await queues.depths([topic, f"{topic}.dead"])
        assert topic in {depth.name for depth in depths}
        return {depth.name: depth.messages for depth in depths if depth.messages}

    def _outcome(self) -> Outcome:
        return Outcome(
            sent={words[0] for words in self._sent.of("sent")},
            handled=Counter(words[0] for words in self._done.of("handled")),
            refused=self._sent.of("refused"),
            cancelled=self._done.of("cancelled"),
            calls=self._sent.of("call"),
        )

    async def _until(self, true: Any, problem: str) -> None:
        ends = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < ends, f"{problem}: {self._outcome()}"
            await asyncio.sleep(_POLL)


def _told(plan: Plan, name: str, journal: Path) -> Plan:
    return msgspec.structs.replace(plan, name=name, journal=str(journal))


@asynccontextmanager
async def load(directory: Path, url: str, seed: int, **more: Any) -> AsyncIterator[Load]:
    """Publisher and consumer at work on a topic of their own. Every other seed has uvloop."""
    plan = Plan(
        **({"url": url, "topic": f"t{secrets.token_hex(4)}", "journal": "", "name": ""} | more),
        seed=seed,
        is_uvloop=seed % 2 == 1,
    )
    running = Load(directory, seed, plan)
    try:
        await running.start()
        yield running
    finally:
        await running.publisher.dispose()
        await running.consumer.dispose()


def assert_promise_kept(outcome: Outcome) -> None:
    """Nothing lost, nothing left, nothing refused, no handler disturbed, and no caller kept waiting."""
    assert outcome.lost == set(), str(outcome)
    assert outcome.left == {}, str(outcome)
    assert outcome.refused == [], str(outcome)
    assert outcome.cancelled == [], str(outcome)
    assert outcome.late_calls == [], str(outcome)
    assert [call for call in outcome.calls if call[1] == "mistaken"] == []
    assert any(call[1] == "answered" for call in outcome.calls)
