"""`novaflow console` shows a server's screen and what it says, through the public API."""

import asyncio
import sys
from pathlib import Path

from novaflow.lab.openstack import OpenStack, connect
from services.detached import admin, detached
from tests.support.disks import qcow2

PNG = b"\x89PNG\r\n\x1a\n"


async def console(*words: str) -> tuple[int | None, str]:
    """The command's status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "console", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def active(cloud: OpenStack, image: str, name: str) -> str:
    """A server that runs."""
    server_id = await cloud.boot(name, image, "1")
    async with asyncio.timeout(60):
        while (server := await cloud.server(server_id)) is None or server["status"] == "BUILD":
            await asyncio.sleep(0.05)
    assert server["status"] == "ACTIVE"
    return server_id


async def test_a_servers_screen_and_words_are_shown(state_dir: Path, tmp_path: Path) -> None:
    async with detached(["--virt", "fake", "--port-base", "0"], state_dir) as config, connect(admin(config)) as cloud:
        where = ("--state-dir", str(state_dir))
        image = await cloud.upload_image("disk", qcow2(), disk_format="qcow2", container_format="bare")
        server_id = await active(cloud, image, "seen")
        picture = tmp_path / "seen.png"

        by_name = await console("seen", "--screenshot", str(picture), *where)
        by_id = await console(server_id, "--lines", "0", *where)
        unknown = await console("unseen", *where)
        await active(cloud, image, "seen")
        ambiguous = await console("seen", *where)

    status, said = by_name
    head, screen, saved, *log = said.splitlines()
    assert (status, head) == (0, f"server  {server_id} seen")
    assert screen == "screen  none"  # a fake guest has a picture, and nobody who serves it
    assert saved == f"picture {picture}"
    assert picture.read_bytes().startswith(PNG)
    assert [line for line in log if line]
    assert by_id == (0, f"{head}\n{screen}\n\n")
    assert unknown == (1, "novaflow: Server unseen could not be found.\n")
    assert ambiguous == (1, "novaflow: 2 servers are named seen: say which by its id\n")
