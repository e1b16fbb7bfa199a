"""The command line as a shell meets it: real processes, their exit status, and what they leave."""

import asyncio
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.bus import until

UP = ("up", "--virt", "fake", "--port-base", "0")
PATIENCE = 90


async def start(*words: str) -> asyncio.subprocess.Process:
    """`novaflow WORDS`, its complaints among its output."""
    command = (sys.executable, "-m", "services.cli", *words)
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def novaflow(*words: str) -> tuple[int | None, str]:
    """A command that ends: its status and what it said."""
    process = await start(*words)
    async with asyncio.timeout(PATIENCE):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def line(process: asyncio.subprocess.Process, wanted: str) -> None:
    """Read on to a line."""
    assert process.stdout
    async with asyncio.timeout(PATIENCE):
        while (found := (await process.stdout.readline()).decode()) and found.strip() != wanted:
            continue
    assert found, f"it ended before it said {wanted}"


@asynccontextmanager
async def cloud(state_dir: Path) -> AsyncIterator[str]:
    """A detached cloud; gives what `up` printed."""
    status, output = await novaflow(*UP, "--state-dir", str(state_dir), "--detach")
    assert status == 0, output
    try:
        yield output
    finally:
        await novaflow("down", "--state-dir", str(state_dir))


async def test_a_cloud_is_started_looked_at_and_stopped(state_dir: Path) -> None:
    where = ("--state-dir", str(state_dir))
    async with cloud(state_dir) as printed:
        assert printed.splitlines()[-1] == "ready"
        up = json.loads((state_dir / "up.json").read_text())
        for name in ("up.json", "clouds.yaml", "effective.toml", "admin-password"):
            assert stat.S_IMODE((state_dir / name).stat().st_mode) == 0o600, name

        status, told = await novaflow("status", *where)
        assert status == 0
        assert f"process {up['pid']}" in told
        assert up["addresses"]["compute"] in told

        _, v3 = await novaflow("env", *where)
        _, v2 = await novaflow("env", "--v2", *where)
        password = (state_dir / "admin-password").read_text().strip()
        assert f"export OS_AUTH_URL={up['addresses']['identity']}\n" in v3
        assert f"export OS_PASSWORD={password}\n" in v3
        assert "OS_TENANT_NAME=admin" in v2
        assert "/v2.0\n" in v2

        again, refused = await novaflow(*UP, *where)
        assert again == 1
        assert "a cloud runs in" in refused

        assert await novaflow("down", *where) == (0, "stopped\n")

    assert await novaflow("down", *where) == (0, f"no cloud runs in {state_dir}\n")
    assert await novaflow("status", *where) == (1, f"novaflow: no cloud runs in {state_dir}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_drains_the_cloud(state_dir: Path, number: signal.Signals) -> None:
    process = await start(*UP, "--state-dir", str(state_dir))
    await line(process, "ready")

    process.send_signal(number)

    async with asyncio.timeout(PATIENCE):
        output, _ = await process.communicate()
    assert output.decode().splitlines()[-1] == "draining"
    assert process.returncode == 0


async def test_a_cloud_that_was_killed_is_told_and_can_be_started_again(state_dir: Path) -> None:
    where = ("--state-dir", str(state_dir))
    process = await start(*UP, *where)
    await line(process, "ready")
    process.kill()
    await process.communicate()

    status, told = await novaflow("status", *where)
    assert (status, "ended without draining" in told) == (1, True)
    async with cloud(state_dir):
        assert (await novaflow("status", *where))[0] == 0


async def test_a_signal_before_it_is_ready_ends_it_too(state_dir: Path) -> None:
    process = await start(*UP, "--state-dir", str(state_dir), "--bus", "amqp://nova:secret@127.0.0.1:1/")
    await until(lambda: (state_dir / "effective.toml").exists())

    process.send_signal(signal.SIGTERM)

    async with asyncio.timeout(PATIENCE):
        output, _ = await process.communicate()
    assert (process.returncode, output) == (
        1,
        b"novaflow: the cloud is not available: it was stopped before it was ready\n",
    )


async def test_an_occupied_port_is_one_sentence_that_names_it(state_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = state_dir / "novaflow.toml"
        config.write_text(f'state_dir = "{state_dir}/cloud"\n[api]\nport = {port}\n')

        status, output = await novaflow("up", "--virt", "fake", "--config", str(config))

    assert status == 1
    assert f"novaflow: port {port} on 127.0.0.1 is in use by another program" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--db", "mysql://nova:secret@127.0.0.1:1/nova"), "database is not available: the server cannot be reached"),
        (("--db", "oracle://nova:secret@db/nova"), "database.url: 'oracle' is not one of"),
        (("--bus", "zeromq://nova:secret@broker/"), "bus.url: a bus URL begins with memory://"),
        (("--processes",), "--processes needs a broker: add --bus private"),
        (("--virt", "magic"), "compute.virt is 'magic'"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
async def test_what_cannot_be_had_is_one_sentence_without_a_password(
    state_dir: Path, flags: tuple[str, ...], sentence: str
) -> None:
    status, output = await novaflow(*UP, "--state-dir", str(state_dir), *flags)

    assert status == 1
    assert sentence in output
    assert output.count("\n") == 1
    assert "secret" not in output


@pytest.mark.parametrize("name", ["api", "identity", "image", "scheduler", "conductor", "compute"])
async def test_a_service_alone_needs_a_broker(name: str) -> None:
    status, output = await novaflow(name, "--bus", "memory://")

    assert (status, "needs a broker" in output) == (1, True)


async def test_a_trace_of_nothing_is_one_sentence(state_dir: Path) -> None:
    status, output = await novaflow("trace", "req-0", "--state-dir", str(state_dir))

    assert status == 1
    assert output.startswith("novaflow: A trace of req-0")


async def test_what_no_cloud_has_is_one_sentence(state_dir: Path) -> None:
    status, output = await novaflow("env", "--state-dir", str(state_dir))

    assert status == 1
    assert "start one with `novaflow up" in output
    assert os.listdir(state_dir) == []
