"""A real Linux guest that is made with volumes sees them at its first boot; what it has written to one is there for the next guest."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.libvirt import need_libvirt
from tests.support.linux_server import GIB, LIFE, PATIENCE, SMALL, LinuxCloud, LinuxServer, disks, linux_cloud

WORDS = "written on a volume"
WRITES = f"""#!/bin/sh
echo "{WORDS}" | dd of=/dev/vdd bs=512 conv=sync 2>/dev/null
sync
echo "it is written"
"""
READS = """#!/bin/sh
for disk in /sys/block/vd*; do
  [ "$(cat "$disk/serial" 2>/dev/null)" = SERIAL ] && echo "the volume has: $(head -c 19 "/dev/${disk##*/}")"
done
"""
SERIAL = 20  # characters that a virtio disk has for it


@pytest.mark.timeout(600)
async def test_guests_see_the_volumes_that_they_are_made_with(state_dir: Path) -> None:
    need_libvirt()
    async with linux_cloud(state_dir, LIFE) as cloud:
        flavor = await cloud.flavor("m1.disks", **SMALL)
        blank = {"source_type": "blank", "destination_type": "volume"}

        devices = [
            root(cloud),
            {**blank, "volume_size": 2, "delete_on_termination": True},
            {**blank, "volume_size": 1, "device_name": "/dev/vdd"},
        ]
        first = await cloud.boot("first", flavor, script=WRITES, block_device_mapping_v2=devices)
        said = await first.says("it is written", "guest: ready")

        assert [size for name, size in sorted(disks(said).items()) if name != "vdb"] == [GIB, 2 * GIB, GIB]
        kept = (await volumes_of(first))["/dev/vdd"]
        await first.act("forceDelete")
        await first.is_gone()
        await only(cloud, kept)

        reads = READS.replace("SERIAL", kept[:SERIAL])
        given = {"source_type": "volume", "destination_type": "volume", "uuid": kept, "device_name": "vdf"}
        second = await cloud.boot("second", flavor, script=reads, block_device_mapping_v2=[root(cloud), given])

        await second.says(f"the volume has: {WORDS}", "guest: ready")


def root(cloud: LinuxCloud) -> dict[str, Any]:
    """The image, as clients name it a second time."""
    return {"source_type": "image", "uuid": cloud.image, "destination_type": "local", "boot_index": 0}


async def volumes_of(server: LinuxServer) -> dict[str, str]:
    """By device the ids of the server's volumes."""
    found = await server.cloud.ask("GET", f"{server.url}/os-volume_attachments")
    return {one["device"]: one["volumeId"] for one in found["volumeAttachments"]}


async def only(cloud: LinuxCloud, volume_id: str) -> None:
    """Wait until this is the only volume, by the records and on the host's disk."""
    url = f"{cloud.client.compute}/os-volumes"
    old = {"OpenStack-API-Version": "compute 2.1", "X-OpenStack-Nova-API-Version": "2.1"}
    async with asyncio.timeout(PATIENCE):
        while True:
            found = (await cloud.client.ask("GET", url, headers=old))["volumes"]
            files = [path.name for path in cloud.state_dir.glob("**/volumes/*")]
            if [(one["id"], one["status"]) for one in found] == [(volume_id, "available")] and files == [volume_id]:
                return
            await asyncio.sleep(0.2)
