"""An unmodified oslo.messaging in a virtual environment of its own, as a client and as a server.

The two programs in tests/contract/oslo speak JSON lines. oslo.messaging is configured by a file, as its users do it.
"""

import asyncio
import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rpc.bus import BusSettings
from tests.support.clients import ROOT, environment

PROGRAMS = ROOT / "tests" / "contract" / "oslo"
PATIENCE = 30.0  # seconds; generous, since the machine may be busy


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How both sides are set up to share a broker: docs/wire.md, "Options of oslo.messaging"."""

    settings: BusSettings
    options: dict[str, str]  # of [oslo_messaging_rabbit]

    @property
    def exchange(self) -> str:
        """The control exchange: tests.support.bus has one for each delivery on one node."""
        return f"nova-{self.settings.delivery}"


_SOON = {"retry_delay": 0.02, "drain_timeout": 5.0}
AGREEMENTS = {
    "durable": Agreement(settings=BusSettings(**_SOON), options={"amqp_durable_queues": "true"}),  # type: ignore[arg-type]
    "quorum": Agreement(settings=BusSettings(queues="quorum", **_SOON), options={"rabbit_quorum_queue": "true"}),  # type: ignore[arg-type]
    "icehouse": Agreement(settings=BusSettings(delivery="icehouse", **_SOON), options={}),  # type: ignore[arg-type]
}


class OsloGaveUp(Exception):
    """The program ended, or said nothing in time; has what it complained of."""


class _Program:
    """One of the programs: a child process that prints JSON lines."""

    def __init__(self, script: str, directory: Path, configuration: str, *arguments: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "oslo.conf"
        config.write_text(configuration)
        self._complaints = directory / "stderr"
        python = environment(PROGRAMS / "oslo.messaging.lock") / "python"
        with self._complaints.open("wb") as stderr:
            self._process = subprocess.Popen(
                [python, PROGRAMS / script, config, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                # So that a client may rebuild novaflow.errors, which need nothing but Python.
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def say(self, line: dict[str, Any]) -> None:
        """Give it one line."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def hear(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Its next line; raises OsloGaveUp."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise OsloGaveUp(f"no word within {timeout} s: {self.complaints}") from None
        if line is None:
            raise OsloGaveUp(self.complaints)
        return line

    @property
    def complaints(self) -> str:
        """What it has logged."""
        return self._complaints.read_text(errors="replace")[-4000:]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)


class OsloClient:
    """Somebody who uses oslo.messaging's RPCClient."""

    def __init__(self, program: _Program) -> None:
        self._program = program

    async def call(self, topic: str, method: str, **more: Any) -> dict[str, Any]:
        """What RPCClient.call gave: `result`, or `error`. `target`, `options`, `context` and `args` as in oslo_client.py."""
        return await self._ask("call", topic, method, **more)

    async def cast(self, topic: str, method: str, **more: Any) -> dict[str, Any]:
        """The same for RPCClient.cast, which gives nothing."""
        return await self._ask("cast", topic, method, **more)

    async def _ask(self, do: str, topic: str, method: str, *, version: str = "1.0", **more: Any) -> dict[str, Any]:
        target = {"topic": topic, "version": version, **more.pop("target", {})}
        self._program.say({"do": do, "target": target, "method": method, **more})
        return await asyncio.to_thread(self._program.hear)


class OsloServer:
    """An RPC server of oslo.messaging with the endpoint of oslo_server.py."""

    def __init__(self, program: _Program, topic: str, server: str) -> None:
        self._program = program
        self.topic = topic
        self.server = server

    async def took(self) -> dict[str, Any]:
        """The next request that it was given and that nobody asked for yet."""
        return await asyncio.to_thread(self._program.hear)


class OsloListener:
    """Somebody who uses oslo.messaging's notification listener."""

    def __init__(self, program: _Program) -> None:
        self._program = program

    async def heard(self) -> dict[str, Any]:
        """The next notification that nobody asked for yet."""
        return await asyncio.to_thread(self._program.hear)


def configuration(url: str, exchange: str, options: dict[str, str]) -> str:
    """oslo.messaging's configuration file for a broker that we know by `url`."""
    lines = [
        "[DEFAULT]",
        f"transport_url = {urlsplit(url)._replace(scheme='rabbit').geturl()}",
        f"control_exchange = {exchange}",
        "rpc_response_timeout = 20",
        "[oslo_messaging_rabbit]",
        *(f"{name} = {value}" for name, value in options.items()),
    ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def oslo_client(directory: Path, configuration: str, *modules: str) -> Iterator[OsloClient]:
    """A client that rebuilds exceptions of these `modules` only."""
    with _running("oslo_client.py", directory, configuration, *modules) as program:
        yield OsloClient(program)


@contextlib.contextmanager
def oslo_server(
    directory: Path, configuration: str, topic: str, server: str, version: str = "1.3"
) -> Iterator[OsloServer]:
    """A server of `topic`, called `server`, whose endpoint has this version."""
    with _running("oslo_server.py", directory, configuration, topic, server, version) as program:
        yield OsloServer(program, topic, server)


@contextlib.contextmanager
def oslo_listener(directory: Path, configuration: str, topic: str) -> Iterator[OsloListener]:
    """A listener to every notification of `topic`."""
    with _running("oslo_listener.py", directory, configuration, topic) as program:
        yield OsloListener(program)


@contextlib.contextmanager
def _running(script: str, directory: Path, configuration: str, *arguments: str) -> Iterator[_Program]:
    program = _Program(script, directory, configuration, *arguments)
    try:
        assert program.hear() == {"ready": True}
        yield program
    finally:
        program.close()
