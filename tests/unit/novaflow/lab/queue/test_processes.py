"""Programs of a measurement."""

import asyncio
import socket
import sys
from pathlib import Path

from novaflow.lab.queue.processes import broker_group, cpu_of_groups, end, errors_of, spawn

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint('busy'); time.sleep(60)"
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); time.sleep(60)"
)


async def until_printed(path: Path) -> str:
    async with asyncio.timeout(30):
        while not (text := path.read_text()).endswith("\n"):
            await asyncio.sleep(0.02)
    return text.strip()


async def test_cpu_is_read_from_outside(tmp_path: Path) -> None:
    output = tmp_path / "busy"
    process = await spawn([sys.executable, "-u", "-c", BUSY], {}, output)
    try:
        await until_printed(output)

        assert 0.25 <= cpu_of_groups([process.pid]) < 10
        assert cpu_of_groups([]) == 0
    finally:
        await end(process, 5)


async def test_a_program_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    output = tmp_path / "stubborn"
    process = await spawn([sys.executable, "-c", STUBBORN], {}, output)
    child = int(await until_printed(output))

    await end(process, 0.2)

    assert process.returncode is not None
    async with asyncio.timeout(10):
        while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
            await asyncio.sleep(0.02)


async def test_output_and_errors_are_kept_apart(tmp_path: Path) -> None:
    output = tmp_path / "both"
    process = await spawn(
        [sys.executable, "-c", "import sys; print(1); sys.exit(__import__('os').environ['WORD'])"],
        {"WORD": "why"},
        output,
    )
    await process.wait()

    assert output.read_text() == "1\n"
    assert errors_of(output).read_text() == "why\n"


def test_only_a_rabbitmq_counts_as_the_broker_of_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        assert broker_group(port) is None
