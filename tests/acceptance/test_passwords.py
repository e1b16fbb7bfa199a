"""A guest's password, set by the agent in it: Debian's qemu-guest-agent on a real domain, and what the guest itself has afterwards."""

import asyncio
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from novaflow.virt.guest.sources import static_busybox
from services.seed import IMAGE_WITH_AGENT
from tests.support.libvirt import need_libvirt
from tests.support.linux_server import LIFE, SMALL, LinuxCloud, LinuxServer, image_named, linux_cloud

PASSWORD = "correct: horse battery"
SECOND = "another staple"
LOCKED = "*"
TELLS_ITS_HASH = """#!/bin/sh
(last=; while :; do
  hash=$(sed -n 's/^root:\\([^:]*\\):.*/\\1/p' /etc/shadow)
  [ "$hash" = "$last" ] || echo "root has the hash $hash"
  last=$hash
  sleep 1
done) &
"""


@pytest.mark.timeout(600)
async def test_a_guests_agent_sets_its_password(state_dir: Path) -> None:
    need_libvirt()
    async with linux_cloud(state_dir, LIFE) as cloud:
        upload = ["guest", "upload", "--agent", "--state-dir", str(state_dir)]
        await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "services.cli", *upload], check=True, timeout=120
        )
        flavor = await cloud.flavor("m1.password", **SMALL)
        image = await image_named(cloud.client, IMAGE_WITH_AGENT)
        web = await cloud.boot("web", flavor, str(image["id"]), TELLS_ITS_HASH)
        await web.says("agent started", f"root has the hash {LOCKED}\n", "guest: ready")

        await is_given(web, PASSWORD, before=LOCKED)
        await is_given(web, SECOND, before=await hash_of(web))
        await web.act("reboot", {"type": "HARD"})
        await web.says("guest: boot 2\n", "the password of an earlier boot", "agent started", "guest: ready")
        await web.becomes("ACTIVE")

        assert found_in(state_dir, PASSWORD, SECOND) == []


@pytest.mark.timeout(300)
async def test_a_guest_that_has_no_agent_whatever_its_image_says_keeps_its_password(state_dir: Path) -> None:
    need_libvirt()
    async with linux_cloud(state_dir, LIFE) as cloud:
        flavor = await cloud.flavor("m1.password", **SMALL)
        server = await cloud.boot("silent", flavor, await image_that_promises(cloud))
        await server.boots(1)

        await server.act("changePassword", {"adminPass": PASSWORD})
        await server.becomes("ACTIVE")

        action = await server.last_action()
        assert action["action"] == "changePassword"
        assert f"Failed to set admin password on {server.id} because the guest's agent does not" in action["message"]
        assert [event["result"] for event in action["events"]] == ["Error"]
        await server.counts_on()
        assert found_in(state_dir, PASSWORD) == []


async def is_given(web: LinuxServer, password: str, *, before: str) -> None:
    """The action succeeds, and what is in the guest's /etc/shadow is of this password."""
    await web.act("changePassword", {"adminPass": password})
    await web.becomes("ACTIVE")
    action = await web.last_action()
    assert (action["action"], action["message"]) == ("changePassword", None)
    assert [event["result"] for event in action["events"]] == ["Success"]
    async with asyncio.timeout(30):
        while (now := await hash_of(web)) == before:
            await asyncio.sleep(0.2)
    salt = now.split("$")[2]
    hashed = await asyncio.create_subprocess_exec(
        str(static_busybox()), "mkpasswd", "-m", "sha512", "-S", salt, password, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await hashed.communicate()
    assert told.decode().strip() == now


async def hash_of(web: LinuxServer) -> str:
    """What it said last."""
    return str(re.findall(r"^root has the hash (\S+)$", await web.said(), re.MULTILINE)[-1])


async def image_that_promises(cloud: LinuxCloud) -> str:
    """The image without an agent, under another name, saying that it has one."""
    told = await cloud.client.ask("GET", f"{cloud.client.image}/images/{cloud.image}")
    data = await cloud.client.ask("GET", f"{cloud.client.image}/images/{cloud.image}/file")
    kept = {name: told[name] for name in ("kernel_id", "ramdisk_id", "os_command_line")}
    return await cloud.client.upload_image(
        "promises", io.BytesIO(data), disk_format="ami", container_format="ami", hw_qemu_guest_agent="yes", **kept
    )


def found_in(state_dir: Path, *passwords: str) -> list[str]:
    """Every file of the cloud (databases, logs, traces) in which one of them stands."""
    files = [path for path in state_dir.rglob("*") if path.is_file() and path.suffix != ".img"]
    assert any(path.suffix == ".log" for path in files)
    return [str(path) for path in files for word in passwords if word.encode() in path.read_bytes()]
