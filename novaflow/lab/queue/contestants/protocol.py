"""What every contestant of `novaflow bench queue` speaks, and what their scripts share.

The scripts of this directory run under the Python of other virtual environments, as `python <directory>/<script>.py`: they
import this module as `protocol`, the library they show, and nothing of novaflow. So this module needs the standard library
only, and the directory is no package.

A contestant is a program of two roles:

    <program> server --url URL --queue NAME --durability D --prefetch N --board FILE
    <program> client --op call|cast|fanout --in-flight K --messages N --sizes FILE --url URL --queue NAME --durability D
                     --board FILE [--board FILE ...]

URL is amqp://user:password@host:port/vhost. D is `transient` (classic queue, not durable; delivery mode 1), `durable`
(classic, durable; mode 2) or `quorum` (quorum queue; mode 2). Server: declares what it needs under NAME, prints `ready`,
serves until SIGTERM, ends with status 0. Work is acknowledged when it is done, as far as the library can. For `fanout` the
same server is started several times, each with a board of its own, and each hears the exchange `<NAME>_fanout`.

Client: sends min(50, N // 10) messages that count for nothing, numbered -1, then N numbered 0 to N-1, K of them in flight,
and prints one line of JSON:

    seconds       wall clock from the first message until the last was answered (call) or handled by all (cast, fanout)
    sent_seconds  until the last was answered or accepted
    cpu_s         user and system time of the client for that
    quantiles_us  101 numbers: the latency per message, as the client sees it, that 0, 1, ... 100 % of the messages keep.
                  Of a call: the round trip. Of a cast or a fanout: until accepted (confirmed, where the library can)
    errors        messages that failed or had no answer

FILE of `--sizes` is a JSON list of body sizes in bytes, used round robin. A body is a `Payload` of that size in compact JSON;
the server of a call returns it. A BOARD is a file of 8 + N bytes: how many messages were handled in all (little-endian),
then for each number how often it was handled, up to 255. The client waits until no number is 0 on any board, or until nothing
has moved for 10 seconds: then the rest is lost. A contestant that cannot do what is asked ends with status 3 and says so.
"""

import argparse
import asyncio
import fcntl
import inspect
import itertools
import json
import mmap
import os
import resource
import signal
import struct
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

Payload: TypeAlias = dict[str, Any]
"""The argument of a message; its `number` is the message's."""

PATTERNS: Final = ("call", "cast", "fanout")
DURABILITIES: Final = ("transient", "durable", "quorum")
UNSUPPORTED: Final = 3
"""The exit status of a contestant that cannot do what is asked."""
PATIENCE: Final = 10.0
"""Seconds without any progress after which a run is over."""

_UNCOUNTED: Final = -1
_BOOT_SIZE: Final = 1000  # bytes; a smaller body is all padding
_LOOK: Final = 0.001  # seconds between two looks at the boards
_MOST_TIMES: Final = 255


# ---------------------------------------------------------------------------------------------------------------- orders


@dataclass(frozen=True)
class Order:
    """What both roles are told."""

    url: str
    queue: str
    durability: str

    @property
    def durable(self) -> bool:
        """Whether queues and messages are to survive a restart of the broker."""
        return self.durability != "transient"

    @property
    def quorum(self) -> bool:
        """Whether the queue is a quorum queue."""
        return self.durability == "quorum"

    @property
    def delivery_mode(self) -> int:
        """1 transient, 2 persistent."""
        return 2 if self.durable else 1

    @property
    def queue_arguments(self) -> dict[str, Any]:
        """The arguments to declare the queue with."""
        return {"x-queue-type": "quorum"} if self.quorum else {}

    @property
    def fanout_exchange(self) -> str:
        """The exchange that every server hears."""
        return f"{self.queue}_fanout"


@dataclass(frozen=True)
class ServerOrder(Order):
    """What a server is told."""

    prefetch: int
    board: str


@dataclass(frozen=True)
class ClientOrder(Order):
    """What a client is told; `sizes` in bytes."""

    op: str
    in_flight: int
    messages: int
    sizes: tuple[int, ...]
    boards: tuple[str, ...]


def parse(arguments: Sequence[str]) -> ServerOrder | ClientOrder:
    """The command line of a contestant; ends the program with status 2 if it is none."""
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    server, client = roles.add_parser("server"), roles.add_parser("client")
    for role in (server, client):
        role.add_argument("--url", required=True)
        role.add_argument("--queue", required=True)
        role.add_argument("--durability", choices=DURABILITIES, default="transient")
    server.add_argument("--prefetch", type=int, default=256)
    server.add_argument("--board", required=True)
    client.add_argument("--op", choices=PATTERNS, required=True)
    client.add_argument("--in-flight", type=_positive, default=1)
    client.add_argument("--messages", type=_positive, required=True)
    client.add_argument("--sizes", type=_sizes, required=True)
    client.add_argument("--board", dest="boards", action="append", required=True)
    told = vars(parser.parse_args(arguments))
    if told.pop("role") == "server":
        return ServerOrder(**told)
    return ClientOrder(**{**told, "boards": tuple(told["boards"])})


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _sizes(path: str) -> tuple[int, ...]:
    try:
        with open(path, encoding="utf-8") as file:
            sizes = json.load(file)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None
    if not isinstance(sizes, list) or not sizes or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"{path} is not a JSON list of sizes in bytes")
    return tuple(sizes)


def run(
    serve: Callable[[ServerOrder], Awaitable[None] | None],
    send: Callable[[ClientOrder], Awaitable[None] | None],
    *,
    patterns: Collection[str] = ("call", "cast"),
    durabilities: Collection[str] = DURABILITIES,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """The main program of a contestant: do what the command line says, or refuse what is not among the given."""
    order = parse(sys.argv[1:])
    if order.durability not in durabilities:
        unsupported(f"no {order.durability} queues with this library")
    if isinstance(order, ClientOrder) and order.op not in patterns:
        unsupported(f"no {order.op} over RabbitMQ with this library")
    done = serve(order) if isinstance(order, ServerOrder) else send(order)
    if inspect.isawaitable(done):
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_all_of(done))


async def _all_of(work: Awaitable[None]) -> None:
    await work


def unsupported(why: str) -> NoReturn:
    """End the program as one that cannot do what is asked."""
    sys.stderr.write(f"{why}\n")
    sys.exit(UNSUPPORTED)


# --------------------------------------------------------------------------------------------------------------- servers


def ready() -> None:
    """Say that the server serves."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def until_terminated() -> None:
    """Say that the server serves, and wait for SIGTERM."""
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    ready()
    await terminated.wait()


def end_on_sigterm() -> None:
    """Have SIGTERM end this process at once with status 0: for libraries whose own way out may take its time."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


class Board:
    """How often each message was handled, in a file that the driver made. Safe for threads; for `processes` too if said so."""

    def __init__(self, path: str, *, processes: bool = False) -> None:
        with open(path, "r+b") as file:
            self._view = mmap.mmap(file.fileno(), 0)
            self._lock_file = os.dup(file.fileno()) if processes else None
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: str, messages: int) -> "Board":
        """A board of this many messages, none of them handled."""
        with open(path, "wb") as file:
            file.truncate(8 + messages)
        return cls(path)

    def count(self, number: int) -> None:
        """Note that this message was handled. Warm-ups, and numbers that the board has no room for, are not noted."""
        place = 8 + number
        if number < 0 or place >= len(self._view):
            return
        with self._lock:
            if self._lock_file is not None:
                fcntl.lockf(self._lock_file, fcntl.LOCK_EX, 8)
            try:
                struct.pack_into("<Q", self._view, 0, self.total + 1)
                self._view[place] = min(self._view[place] + 1, _MOST_TIMES)
            finally:
                if self._lock_file is not None:
                    fcntl.lockf(self._lock_file, fcntl.LOCK_UN, 8)

    @property
    def total(self) -> int:
        """How many messages were handled, each as often as it was."""
        return int(struct.unpack_from("<Q", self._view, 0)[0])

    @property
    def times(self) -> bytes:
        """How often each message was handled: a byte per number."""
        return self._view[8:]

    def unhandled_from(self, number: int) -> int:
        """The first message from this one on that was never handled; -1 if there is none."""
        place = self._view.find(b"\0", 8 + number)
        return -1 if place < 0 else place - 8


# -------------------------------------------------------------------------------------------------------------- payloads


def template(size: int) -> Payload:
    """A value like the arguments of Nova's build_instances, `size` bytes long in compact JSON, or as short as it gets."""
    # The number comes first: a contestant that parses no JSON finds it there.
    payload = {"number": 0, **(_boot() if size >= _BOOT_SIZE else {}), "pad": ""}
    payload["pad"] = "x" * (size - len(json.dumps(payload, separators=(",", ":"))))
    return payload


def payloads(numbers: Iterable[int], sizes: Sequence[int]) -> Iterator[Payload]:
    """A payload for each number, the sizes taken in turn. The iterator may be shared by threads."""
    made = {size: template(size) for size in set(sizes)}
    return map(lambda number, size: {**made[size], "number": number}, numbers, itertools.cycle(sizes))


def _boot() -> Payload:
    def identifier(name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, name))

    flavor = {"name": "m1.small", "vcpus": 1, "memory_mb": 2048, "root_gb": 20}
    server = {"uuid": identifier("server"), "name": "vm-1", "flavor": flavor, "state": "scheduling", "host": None}
    user = {"user_id": identifier("user"), "project_id": identifier("project"), "roles": ["member", "reader"]}
    return {
        "context": {"request_id": f"req-{identifier('request')}", "is_admin": False, **user},
        "instances": [server],
        "image": {"id": identifier("image"), "name": "cirros", "min_disk": 0},
        "filter_properties": {"retry": {"num_attempts": 1, "hosts": []}, "limits": {"memory_mb": 31744.0}},
        "security_groups": ["default"],
        "requested_networks": [{"network_id": identifier("network")}],
        "host_lists": [[{"host": "compute-0007", "weight": 1.25}]],
    }


# --------------------------------------------------------------------------------------------------------------- clients


class Tally:
    """What came of the messages so far."""

    def __init__(self) -> None:
        self.latencies: list[float] = []  # seconds
        self.latest = time.perf_counter()
        self._complained = False

    def answered(self, began: float, payload: Payload, answer: Any) -> None:
        """A message was accepted, or its call answered: with anything but its payload that is a failure."""
        self.latest = time.perf_counter()
        if answer is None or answer["number"] == payload["number"]:
            self.latencies.append(self.latest - began)
        else:
            self.failed(ValueError(f"the answer to {payload['number']} is that to {answer['number']}"))

    def failed(self, error: Exception) -> None:
        """A message failed; the first one says how."""
        self.latest = time.perf_counter()
        if not self._complained:
            self._complained = True
            sys.stderr.write(f"{type(error).__name__}: {error}\n")

    @property
    def stalled(self) -> bool:
        """Whether nothing has come for too long."""
        return time.perf_counter() - self.latest > PATIENCE


class Stopwatch:
    """Wall clock and CPU of a client from here on; the line it prints in the end."""

    def __init__(self, order: ClientOrder) -> None:
        self._order = order
        self._began, self._cpu_began = time.perf_counter(), _cpu()
        self.tally = Tally()
        self._sent = self._cpu = 0.0

    def sent(self) -> None:
        """The last message was accepted or answered."""
        self._sent, self._cpu = self.tally.latest - self._began, _cpu() - self._cpu_began

    def looks(self) -> Iterator[None]:
        """Look at the boards again and again, while messages are missing and still come. Of calls all is known by now."""
        if self._order.op == "call":
            return
        boards = [(Board(path), 0) for path in self._order.boards]
        seen = -1
        while boards and not self.tally.stalled:
            # A board that is full up to some number stays so: the next look goes on from there.
            missing = [(board, board.unhandled_from(number)) for board, number in boards]
            boards = [(board, number) for board, number in missing if number >= 0]
            total = sum(board.total for board, _ in missing)
            if total != seen or not boards:
                seen, self.tally.latest = total, time.perf_counter()
            if boards:
                yield

    def report(self) -> None:
        """Print the line of JSON."""
        latencies = self.tally.latencies
        line = {
            "seconds": self.tally.latest - self._began,
            "sent_seconds": self._sent,
            "cpu_s": self._cpu,
            "quantiles_us": [round(value * 1e6, 1) for value in quantiles(latencies)],
            "errors": self._order.messages - len(latencies),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def quantiles(values: Sequence[float]) -> list[float]:
    """The 0, 1, ... 100 % quantiles, interpolated; zeros if there are no values."""
    if not values:
        return [0.0] * 101
    ordered = sorted(values)
    found = []
    for percent in range(101):
        below, rest = divmod((len(ordered) - 1) * percent, 100)
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below] + (ordered[above] - ordered[below]) * rest / 100)
    return found


async def send_all(order: ClientOrder, send: Callable[[Payload], Awaitable[Any]]) -> None:
    """The client of an asyncio library: `send` returns a call's answer, or None when a cast is accepted."""
    await _in_flight(order, warm_ups(order), send, Tally())
    watch = Stopwatch(order)
    await _in_flight(order, measured(order), send, watch.tally)
    watch.sent()
    for _ in watch.looks():
        await asyncio.sleep(_LOOK)
    watch.report()


async def _in_flight(
    order: ClientOrder, todo: Iterator[Payload], send: Callable[[Payload], Awaitable[Any]], tally: Tally
) -> None:
    async def worker() -> None:
        for payload in todo:
            began = time.perf_counter()
            try:
                answer = await send(payload)
            except Exception as error:  # what a library raises is counted, whatever it is
                tally.failed(error)
            else:
                tally.answered(began, payload, answer)

    pending = {asyncio.create_task(worker()) for _ in range(order.in_flight)}
    while pending and not tally.stalled:
        _, pending = await asyncio.wait(pending, timeout=1)
    for task in pending:
        task.cancel()


def send_all_in_threads(order: ClientOrder, connect: Callable[[], Callable[[Payload], Any]]) -> None:
    """The client of a blocking library: a thread per message in flight, each with the `send` that `connect` gives it."""
    senders = [connect() for _ in range(order.in_flight)]
    _in_threads(senders, warm_ups(order), Tally())
    watch = Stopwatch(order)
    _in_threads(senders, measured(order), watch.tally)
    watch.sent()
    for _ in watch.looks():
        time.sleep(_LOOK)
    watch.report()


def _in_threads(senders: Iterable[Callable[[Payload], Any]], todo: Iterator[Payload], tally: Tally) -> None:
    def worker(send: Callable[[Payload], Any]) -> None:
        for payload in todo:
            began = time.perf_counter()
            try:
                answer = send(payload)
            except Exception as error:  # what a library raises is counted, whatever it is
                tally.failed(error)
            else:
                tally.answered(began, payload, answer)

    threads = [threading.Thread(target=worker, args=(send,), daemon=True) for send in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and not tally.stalled:
            thread.join(1)


def warm_ups(order: ClientOrder) -> Iterator[Payload]:
    """The messages that count for nothing."""
    return payloads(itertools.repeat(_UNCOUNTED, min(50, order.messages // 10)), order.sizes)


def measured(order: ClientOrder) -> Iterator[Payload]:
    """The messages that count."""
    return payloads(range(order.messages), order.sizes)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
