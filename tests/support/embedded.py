"""The embedded libvirt from outside the driver: what it says when it is asked, and a compute host whose process may be killed."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import libvirt
import libvirt_qemu

from novaflow.virt.libvirt.connection import release, share
from novaflow.virt.libvirt.embed import prepare_root
from tests.support.libvirt import process_directory

T = TypeVar("T")


async def asked(question: Callable[[libvirt.virConnect], T]) -> T:
    """What the libvirt of this process answers, or does."""
    connection = share(f"qemu:///embed?root={prepare_root(process_directory())}")
    try:
        return await connection.run(question)
    finally:
        await release(connection)


def leave_disk(path: Path, name: str, *, device: str = "") -> Callable[[libvirt.virDomain], None]:
    """What a libvirt leaves in QEMU that is killed while it gives the file to a guest: nodes of this name and, late, a device of this id."""
    commands: list[tuple[str, dict[str, object]]] = [
        (
            "blockdev-add",
            {"driver": "file", "filename": str(path), "node-name": f"{name}-storage", "auto-read-only": True},
        ),
        ("blockdev-add", {"driver": "qcow2", "file": f"{name}-storage", "node-name": f"{name}-format"}),
    ]
    if device:
        commands.append(("device_add", {"driver": "virtio-blk-pci", "id": device, "drive": f"{name}-format"}))

    def leave(domain: libvirt.virDomain) -> None:
        for command, arguments in commands:
            told = json.dumps({"execute": command, "arguments": arguments})
            said = json.loads(libvirt_qemu.qemuMonitorCommand(domain, told, 0))
            assert said.get("return") == {}, said

    return leave


@asynccontextmanager
async def host_process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, int]]]:
    """A compute host in a process of its own, and the guests it says it has (tests.support.libvirt_host)."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.libvirt_host", *arguments,
        cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert started.stdin
    assert started.stdout
    try:
        yield started, json.loads(await asyncio.wait_for(started.stdout.readline(), 60))
        started.stdin.close()
        await asyncio.wait_for(started.wait(), 60)
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.wait()
