"""A server is evacuated from a host that died: it lives elsewhere, and once only, even when the host comes back."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from novaflow.lab.openstack import OpenStack
from tests.support.another_host import AnotherHost
from tests.support.libvirt import need_libvirt
from tests.support.linux_server import PATIENCE, SMALL, files, linux_cloud

SETTINGS: Final = """
[compute]
host = "safe"
heartbeat_interval = 1.0
service_down_time = 8.0
"""


@pytest.mark.timeout(600)
async def test_a_guest_is_made_anew_when_its_host_has_died(state_dir: Path) -> None:
    need_libvirt()
    async with (
        linux_cloud(state_dir, SETTINGS, "--bus", "private") as cloud,
        AnotherHost(state_dir, "mortal") as mortal,
    ):
        flavor = await cloud.flavor("m1.host", **SMALL)
        web = await cloud.boot("web", flavor, availability_zone="nova:mortal")
        await web.boots(1)

        await mortal.die()
        await is_down(cloud.client, "mortal")
        await web.act("evacuate", {"host": "safe"})
        server = await web.becomes("ACTIVE")
        said = await web.boots(1)

        assert server["OS-EXT-SRV-ATTR:host"] == "safe"
        assert "keepsake" not in files(said)  # the disk was lost with the host
        assert f"instance-id {web.id}\n" in said

        assert [path.name for path in (mortal.directory / "instances").iterdir()] == [web.id]
        assert len(processes(mortal)) == 1  # of which the cloud knows nothing
        await mortal.start()
        await is_empty(mortal.directory / "instances")
        assert processes(mortal) == []
        assert (await web.becomes("ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "safe"
        await web.counts_on()


async def is_down(cloud: OpenStack, host: str) -> None:
    """Wait until the cloud has missed the host."""
    url = f"{cloud.compute}/os-services?host={host}&binary=nova-compute"
    async with asyncio.timeout(PATIENCE):
        while (await cloud.ask("GET", url))["services"][0]["state"] != "down":
            await asyncio.sleep(0.2)


def processes(host: AnotherHost) -> list[Path]:
    """The process files of the QEMUs of a host's embedded libvirt."""
    return list(host.directory.parent.glob("libvirt/run/qemu/instance-*.pid"))


async def is_empty(directory: Path) -> None:
    """Wait until no guest is kept there."""
    async with asyncio.timeout(PATIENCE):
        while list(directory.iterdir()):
            await asyncio.sleep(0.2)
