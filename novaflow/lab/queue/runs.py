"""One run: servers up, a client that sends and times, CPU read on the way, losses and duplicates counted at the end."""

import asyncio
import json
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from novaflow.lab.queue.contestants.protocol import UNSUPPORTED, Board
from novaflow.lab.queue.figures import STEPS, Measurement
from novaflow.lab.queue.peers import Contestant
from novaflow.lab.queue.processes import cpu_of_groups, end, errors_of, spawn

PREFETCH: Final = 256  # of every server
_START_TIMEOUT: Final = 60.0  # seconds until a server serves
_STOP_TIMEOUT: Final = 5.0
_CLIENT_TIMEOUT: Final = 60.0  # besides twenty times what the run should take
_LOOK: Final = 0.02
_TEXT_LIMIT: Final = 400  # characters of a program's last words


class CannotDo(Exception):
    """A contestant cannot do what is asked; says why."""


class RunFailed(Exception):
    """A run gave no numbers; says why."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. A measurement takes about `seconds`, or sends exactly `messages` if that is given."""

    pattern: str
    durability: str
    sizes: tuple[int, ...]  # bytes, round robin
    in_flight: tuple[int, ...]
    rounds: int
    seconds: float = 3.0
    messages: int | None = None
    seed: int = 1
    listeners: int = 2  # servers that hear a fanout


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The broker of all runs. `group` is its process group, where that can be seen."""

    url: str = field(repr=False)  # it holds a password
    group: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One contestant, once."""

    contestant: Contestant
    plan: Plan
    in_flight: int
    messages: int
    number: int  # of the round


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    """The line that a client prints."""

    seconds: float
    cpu_s: float
    quantiles_us: tuple[float, ...]
    errors: int
    sent_seconds: float | None = None


@dataclass(frozen=True)
class _Reading:
    """Seconds of CPU so far, when so many messages were handled."""

    handled: int
    servers: float
    broker: float | None


async def measure(run: Run, broker: Broker, scratch: Path) -> Measurement:
    """Let a contestant run once, with servers, a queue and boards of its own, in the empty directory `scratch`.

    Raises CannotDo and RunFailed, whose texts hold no password.
    """
    listeners = run.plan.listeners if run.plan.pattern == "fanout" else 1
    paths = [scratch / f"board{number}" for number in range(listeners)]
    boards = [Board.create(str(path), run.messages) for path in paths]
    sizes = scratch / "sizes.json"
    sizes.write_text(json.dumps(run.plan.sizes))
    common = ("--url", broker.url, "--queue", _queue(run), "--durability", run.plan.durability)
    asked = ("--op", run.plan.pattern, "--in-flight", str(run.in_flight), "--messages", str(run.messages))
    try:
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(_serving(run, (*common, "--board", str(path)), path)) for path in paths
            ]
            meter = _Meter([server.pid for server in servers], broker, boards)
            client = (
                *common,
                *asked,
                "--sizes",
                str(sizes),
                *(word for path in paths for word in ("--board", str(path))),
            )
            report = await _client(run, client, scratch / "client", meter)
            last = meter.read()
        return _measurement(run, report, meter.first(run.messages), last, boards)
    except (CannotDo, RunFailed) as error:
        raise type(error)(without_secrets(str(error), broker.url)) from None


class _Meter:
    """Reads the CPU of servers and broker: when they are ready, when the first message is handled, at the end."""

    def __init__(self, groups: Sequence[int], broker: Broker, boards: Sequence[Board]) -> None:
        self._groups = groups
        self._broker = broker
        self._boards = boards
        self._ready = self.read()
        self._moving: _Reading | None = None

    def read(self) -> _Reading:
        group = self._broker.group
        before = self._boards[0].total
        servers = cpu_of_groups(self._groups)
        broker = None if group is None else cpu_of_groups([group])
        # Reading takes a while on a busy machine, and the servers go on.
        return _Reading(handled=(before + self._boards[0].total) // 2, servers=servers, broker=broker)

    def look(self) -> None:
        """Take the reading of the beginning as soon as something moves: the warm-up is over then."""
        if self._moving is None and self._boards[0].total:
            self._moving = self.read()

    def first(self, messages: int) -> _Reading:
        """The reading to count from. A run of a moment is over before it was looked at: then from when all was ready."""
        if self._moving is None or self._moving.handled > messages / 2:
            return self._ready
        return self._moving


@asynccontextmanager
async def _serving(run: Run, arguments: Sequence[str], board: Path) -> AsyncIterator[Process]:
    output = board.with_suffix(".server")
    command = (*run.contestant.command, "server", *arguments, "--prefetch", str(PREFETCH))
    process = await spawn(command, run.contestant.environment, output)
    try:
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                while b"ready\n" not in output.read_bytes():
                    if process.returncode is not None:
                        raise _ended("server", process.returncode, output)
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise RunFailed(f"the server was not ready within {_START_TIMEOUT:g} s") from None
        yield process
    finally:
        await end(process, _STOP_TIMEOUT)


async def _client(run: Run, arguments: Sequence[str], output: Path, meter: _Meter) -> _Report:
    process = await spawn((*run.contestant.command, "client", *arguments), run.contestant.environment, output)
    limit = _CLIENT_TIMEOUT + 20 * run.plan.seconds
    try:
        async with asyncio.timeout(limit):
            while process.returncode is None:
                meter.look()
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        raise RunFailed(f"the client did not end within {limit:g} s") from None
    finally:
        await end(process, _STOP_TIMEOUT)
    if process.returncode:
        raise _ended("client", process.returncode, output)
    lines = [line for line in output.read_bytes().splitlines() if line.startswith(b"{")]
    try:
        report = msgspec.json.decode(lines[-1], type=_Report)
    except (IndexError, msgspec.MsgspecError) as error:
        raise RunFailed(f"the client's report cannot be read: {error}") from None
    if len(report.quantiles_us) != STEPS or report.seconds <= 0:
        raise RunFailed("nothing was handled" if report.seconds <= 0 else "the client's report lacks quantiles")
    return report


def _measurement(run: Run, report: _Report, first: _Reading, last: _Reading, boards: Sequence[Board]) -> Measurement:
    counts = [board.times for board in boards]
    lost = sum(times.count(0) for times in counts)
    once = sum(times.count(1) for times in counts)
    return Measurement(
        contestant=run.contestant.name,
        round=run.number,
        in_flight=run.in_flight,
        messages=run.messages,
        copies=len(boards),
        seconds=report.seconds,
        sent_seconds=report.sent_seconds,
        quantiles_us=report.quantiles_us,
        client_cpu_s=report.cpu_s,
        server_cpu_s=last.servers - first.servers,
        broker_cpu_s=None if last.broker is None or first.broker is None else last.broker - first.broker,
        handled=last.handled - first.handled,
        errors=report.errors,
        lost=lost,
        duplicated=sum(len(times) for times in counts) - lost - once,
        load=os.getloadavg()[0],
    )


def _ended(role: str, status: int, output: Path) -> CannotDo | RunFailed:
    said = " ".join(errors_of(output).read_text(errors="replace").split())[-_TEXT_LIMIT:]
    if status == UNSUPPORTED:
        return CannotDo(said or "it cannot do that")
    return RunFailed(f"the {role} ended with status {status}: {said or 'it said nothing'}")


def _queue(run: Run) -> str:
    return f"bench-{os.urandom(4).hex()}-{run.contestant.name}"


def without_secrets(text: str, url: str) -> str:
    """The text without the URL's password, wherever it stands."""
    password = urlsplit(url).password
    return text.replace(password, "***") if password else text
