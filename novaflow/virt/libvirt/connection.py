"""One connection to libvirt for all the compute hosts of a process.

libvirt blocks, so its calls run in a few threads of their own; its events come on another thread and are handed to the event loop of whoever
listens. The embedded driver can be opened once in the life of a process, so hosts share a connection, and that one stays.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import libvirt

from novaflow.states import Power
from novaflow.virt.libvirt.embed import forget_unborn
from novaflow.virt.libvirt.reaper import Reaper

P = ParamSpec("P")
T = TypeVar("T")
OnPower = Callable[[str, Power], None]

CALL_SECONDS: Final = 60.0  # an ordinary call; libvirt's own patience with a busy domain is 30 s
THREADS: Final = 8  # more do not make QEMU start faster
LONG_THREADS: Final = 32  # for calls that move memory: they must not keep the others from aborting them
KEEPALIVE: Final = (5, 3)  # seconds between two pings of a daemon, and how many may be lost

_POWER_AFTER: Final = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: Power.RUNNING,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: Power.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: Power.RUNNING,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: Power.SHUTDOWN,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: Power.SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: Power.CRASHED,
}


class Connection:
    """A libvirt URI that is open while somebody uses it; safe to use from any thread and any event loop."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._link: libvirt.virConnect | None = None
        self._events = 0
        self._opening = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="libvirt")
        self._long_threads = ThreadPoolExecutor(LONG_THREADS, thread_name_prefix="libvirt-long")
        self._listeners: dict[OnPower, asyncio.AbstractEventLoop] = {}
        self._said: set[str] = set()

    def is_news(self, notice: str) -> bool:
        """Has none of the hosts that share this connection said so yet? Says so once."""
        is_new = notice not in self._said
        self._said.add(notice)
        return is_new

    async def run(
        self,
        work: Callable[Concatenate[libvirt.virConnect, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """`work(link, ...)` in a thread. Raises what it raises, and TimeoutError when it takes longer than CALL_SECONDS.

        A caller that gives up does not stop the work: it goes on in its thread, and nobody hears of its outcome.
        """
        return await self._ends(self._threads, CALL_SECONDS, lambda link: work(link, *arguments, **named))

    async def run_for(
        self,
        seconds: float,
        work: Callable[Concatenate[libvirt.virConnect, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """The same for a call that may take `seconds`, because it saves, restores or sends a guest's memory."""
        return await self._ends(self._long_threads, seconds, lambda link: work(link, *arguments, **named))

    def listen(self, on_power: OnPower) -> None:
        """Call `on_power(domain uuid, power)` on the running loop for every change, until `ignore`."""
        self._listeners[on_power] = asyncio.get_running_loop()

    def ignore(self, on_power: OnPower) -> None:
        """Stop calling `on_power`."""
        self._listeners.pop(on_power, None)

    def close(self) -> None:
        """Disconnect once what is under way has ended; blocks."""
        self._threads.shutdown(wait=True)
        self._long_threads.shutdown(wait=True)
        with self._opening:
            self._drop()

    async def _ends(self, threads: ThreadPoolExecutor, seconds: float, work: Callable[[libvirt.virConnect], T]) -> T:
        def call() -> T:
            with _watched(self.uri):
                return work(self._alive())

        done = threads.submit(call)
        done.add_done_callback(_seen)
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(done)

    def _alive(self) -> libvirt.virConnect:
        """The link, opened anew when a daemon went away; raises libvirtError."""
        with self._opening:
            if self._link is None or not self._link.isAlive():
                if self._link is None and is_embedded(self.uri):
                    forget_unborn(Path(self.uri.partition("root=")[2]))
                self._drop()
                link = libvirt.open(self.uri)
                with contextlib.suppress(libvirt.libvirtError):  # the embedded and the test driver have no peer to ping
                    link.setKeepAlive(*KEEPALIVE)
                self._events = link.domainEventRegisterAny(
                    None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_event, None
                )
                self._link = link
            return self._link

    def _drop(self) -> None:
        """The link is not used any more, alive or not."""
        link, self._link = self._link, None
        if link is not None:
            with contextlib.suppress(libvirt.libvirtError):
                link.domainEventDeregisterAny(self._events)  # or libvirt keeps the connection for it
            with contextlib.suppress(libvirt.libvirtError):
                link.close()

    def _on_event(self, _link: Any, domain: Any, event: int, *_: Any) -> None:
        power = _POWER_AFTER.get(event)
        if power is None:
            return
        server_id = domain.UUIDString()
        for on_power, loop in list(self._listeners.items()):
            with contextlib.suppress(RuntimeError):  # a loop that closed without saying so
                loop.call_soon_threadsafe(on_power, server_id, power)


class _Process:
    """What libvirt has once per process: the event thread, the reaper and the connections in use."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.has_events = False
        self.reaper: Reaper | None = None
        self.users: dict[str, tuple[Connection, int]] = {}

    def start_events(self) -> None:
        """The loop of libvirt in a thread; must exist before the first connection."""
        if not self.has_events:
            libvirt.registerErrorHandler(lambda *_: None, None)  # errors come as exceptions
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
            self.has_events = True

    def start_reaper(self) -> None:
        """Once the embedded driver is used, its QEMUs are this process's to bury."""
        if self.reaper is None:
            self.reaper = Reaper()
            self.reaper.start()


_process = _Process()


def share(uri: str) -> Connection:
    """The process's connection to `uri`, not yet tried; every `share` needs a `release`."""
    with _process.lock:
        _process.start_events()
        if is_embedded(uri):
            _process.start_reaper()
        connection, users = _process.users.get(uri) or (Connection(uri), 0)
        _process.users[uri] = (connection, users + 1)
        return connection


async def release(connection: Connection) -> None:
    """Give one's part of the connection back; the last one closes it.

    The embedded one stays: every opening takes one of the 33 places that libvirt has for drivers, and none is ever given back.
    """
    with _process.lock:
        _, users = _process.users[connection.uri]
        if users > 1 or is_embedded(connection.uri):
            _process.users[connection.uri] = (connection, users - 1)
            return
        del _process.users[connection.uri]
    await asyncio.to_thread(connection.close)


def is_embedded(uri: str) -> bool:
    """Does this URI name the libvirt inside this process?"""
    return uri.startswith("qemu:///embed")


def _watched(uri: str) -> contextlib.AbstractContextManager[None]:
    reaper = _process.reaper
    return reaper.watching() if reaper and is_embedded(uri) else contextlib.nullcontext()


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _seen(done: "Future[Any]") -> None:
    """Whoever gave up does not ask for the outcome: take it, so that it is not reported as forgotten."""
    if not done.cancelled():
        done.exception()
