"""The tiny Linux guest moves between two libvirt daemons: what it has in its memory and on its disk goes on."""

import asyncio
import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from novaflow.models import Flavor
from novaflow.states import Power
from novaflow.virt.driver import GuestSpec
from novaflow.virt.guest import build_guest
from novaflow.virt.iso9660 import build_image
from tests.support.guests import console_has, guest_spec, raw_image
from tests.support.libvirtd import DIRTIES, copied_twice, daemons, need_libvirtd, two_hosts, way

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLAVOR = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=256, disk_gb=0)
SECONDS = 100.0  # for a boot under emulation on a busy machine
COUNTS = b"""#!/bin/sh
(counter=0; while :; do counter=$((counter + 1)); echo "counter $counter"; sleep 1; done) &
"""


def linux_guest(tmp_path: Path, user_data: bytes) -> GuestSpec:
    """One that runs this when it boots first."""
    files = build_guest(tmp_path / "guest")
    server_id = str(uuid.uuid4())
    metadata = json.dumps({"uuid": server_id, "hostname": "counts"}).encode()
    drive = {"openstack/latest/meta_data.json": metadata, "openstack/latest/user_data": user_data}
    return guest_spec(
        server_id=server_id, flavor=FLAVOR, disk=raw_image(files.blank), config_drive=build_image("config-2", drive, NOW),
        kernel=str(files.kernel), ramdisk=str(files.ramdisk), command_line=files.command_line,
    )  # fmt: skip


@pytest.mark.timeout(500)
async def test_a_counter_in_the_memory_and_a_file_on_the_disk_go_on_elsewhere(tmp_path: Path) -> None:
    need_libvirtd()
    guest = linux_guest(tmp_path, COUNTS)
    server_id = guest.server_id
    async with daemons(tmp_path) as two, two_hosts(two) as here, here.neighbour() as there:
        await here.driver.spawn(guest)
        first = await console_has(here.driver, server_id, b"counter 5\r\n", seconds=SECONDS)

        await here.driver.migrate(server_id, await way(here.driver, guest, there))
        await there.finish_incoming(server_id)

        counted = int(re.findall(rb"counter (\d+)", await console_has(there, server_id, b"counter", times=3))[0])
        assert b"boot 1" in first
        assert 5 < counted < 300
        assert b"boot" not in await there.console_output(server_id, 2**20)

        await there.reboot(server_id, hard=True, timeout=0)
        again = await console_has(there, server_id, b"guest: ready", seconds=SECONDS)
        assert b"boot 2" in again
        assert b"user-data ran at the first boot" in again


@pytest.mark.timeout(500)
async def test_a_guest_that_changes_faster_than_it_is_copied_arrives_when_it_is_made_to_and_runs_on(
    tmp_path: Path,
) -> None:
    need_libvirtd()
    guest = linux_guest(tmp_path, COUNTS + DIRTIES)
    server_id = guest.server_id
    async with daemons(tmp_path) as two, two_hosts(two) as here, here.neighbour() as there:
        await here.driver.spawn(guest)
        counted = await console_has(here.driver, server_id, b"counter 3\r\n", seconds=SECONDS)
        moving = asyncio.create_task(here.driver.migrate(server_id, await way(here.driver, guest, there)))
        await copied_twice(two.first.uri, server_id)

        await here.driver.force_complete(server_id)
        stood_still = await here.driver.power(server_id) in (Power.PAUSED, Power.NOSTATE)
        await moving
        await there.finish_incoming(server_id)

        assert stood_still
        assert await here.driver.guests() == []
        assert await there.power(server_id) is Power.RUNNING
        said = await console_has(there, server_id, b"counter", times=3)
        assert int(re.findall(rb"counter (\d+)", said)[0]) > counted.count(b"counter")
        assert b"boot" not in said
