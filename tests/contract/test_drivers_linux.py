"""The tiny Linux guest on real domains: what it reads from its config drive, how it obeys the power button, what it sees of its hardware."""

import base64
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from novaflow.models import BuildPlan, Flavor, InjectedFile
from novaflow.states import Power, Task, Vm
from novaflow.virt.config_drive import build_config_drive
from novaflow.virt.driver import BootSource, DiskImage, Driver, GuestSpec
from novaflow.virt.guest import GuestFiles, build_guest
from novaflow.virt.guest_facts import GuestNetwork
from tests.support.guests import ADDRESS, console_has, counts_on, guest_spec, raw_image
from tests.support.hypervisors import embedded_host
from tests.support.libvirt import need_libvirt
from tests.support.pictures import png_size
from tests.support.plain_server import plain_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLAVOR = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=256, disk_gb=1)
SECONDS = 100.0  # for a boot under emulation on a busy machine
USER_DATA = """#!/bin/sh
echo "user data on $(hostname), $(cat /etc/motd)"
cat /root/.ssh/authorized_keys
ip -4 -o addr show eth0
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> GuestFiles:
    need_libvirt()
    return build_guest(tmp_path_factory.mktemp("guest"))


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    async with embedded_host() as made:
        yield made


COUNTS = """#!/bin/sh
echo "it has $(nproc) processors and $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
sed -n 's/^.* \\([0-9]* vd.\\)$/it has disk \\1/p' /proc/partitions
echo "of the first boot" >/disk/marker
sync
(counter=0; while :; do counter=$((counter + 1)); echo "counter $counter"; sleep 1; done) &
"""
LOOKS = """#!/bin/sh
mkdir /old
mount -t ext2 /dev/vdb /old && echo "the old disk was booted $(cat /old/boots) time(s) and has a marker $(cat /old/marker)"
umount /old
"""


def linux(
    disk: DiskImage, user_data: str = USER_DATA, flavor: Flavor = FLAVOR, server_id: str = "", **boots: str
) -> GuestSpec:
    server_id = server_id or str(uuid.uuid4())
    server = plain_server(
        NOW, id=server_id, name="Web server", hostname="web-server", flavor=flavor, image_id=str(uuid.uuid4()),
        vm=Vm.BUILDING, task=Task.SPAWNING, power=Power.NOSTATE, launched_at=None, key_name="mine",
    )  # fmt: skip
    plan = BuildPlan(
        server=server,
        user_data=base64.b64encode(user_data.encode()).decode(),
        files=(InjectedFile(path="/etc/motd", contents=base64.b64encode(b"be welcome").decode()),),
        public_key="ssh-ed25519 AAAA me@here",
    )
    drive = build_config_drive(
        plan, network=GuestNetwork(addresses=(ADDRESS,)), made_at=NOW, random_seed=bytes(512)
    )  # fmt: skip
    return guest_spec(server_id=server_id, flavor=flavor, disk=disk, config_drive=drive, **boots)


@pytest.mark.timeout(400)
async def test_a_guest_with_its_kernel_beside_the_disk_lives_a_whole_life(driver: Driver, files: GuestFiles) -> None:
    blank = raw_image(files.blank)
    guest = linux(blank, kernel=str(files.kernel), ramdisk=str(files.ramdisk), command_line=files.command_line)

    await driver.spawn(guest)
    first = (await console_has(driver, guest.server_id, b"guest: ready", seconds=SECONDS)).decode()
    await driver.reboot(guest.server_id, hard=False, timeout=60)
    both = (await console_has(driver, guest.server_id, b"guest: ready", times=2, seconds=SECONDS)).decode()
    await driver.power_off(guest.server_id, 60)
    whole = (await driver.console_output(guest.server_id, 2**20)).decode()

    assert f"instance-id {guest.server_id}" in first
    assert "hostname web-server.novalocal" in first
    assert "user data on web-server.novalocal, be welcome" in first
    assert "ssh-ed25519 AAAA me@here" in first
    assert "inet 10.0.0.5/16" in first
    assert "boot 1" in first
    assert "boot 2" in both
    assert both.count("be welcome") == 1  # user data runs once in a server's life
    assert whole.count("power button, going down") == 2
    assert await driver.power(guest.server_id) == Power.SHUTDOWN


@pytest.mark.timeout(200)
async def test_a_disk_that_boots_by_itself_says_who_it_is(driver: Driver, files: GuestFiles) -> None:
    guest = linux(DiskImage(path=str(files.disk), format="qcow2", size_bytes=files.disk.stat().st_size))

    await driver.spawn(guest)
    said = (await console_has(driver, guest.server_id, b"guest: ready", seconds=SECONDS)).decode()

    assert f"instance-id {guest.server_id}" in said
    assert "boot 1" in said
    assert "user-data ended with 0" in said


RICH = Flavor(id="2", name="m1.rich", vcpus=2, ram_mb=192, disk_gb=1, ephemeral_gb=2, swap_mb=64)


@pytest.mark.timeout(600)
async def test_a_guest_sees_what_it_was_given_and_keeps_its_memory_and_its_disk(
    driver: Driver, files: GuestFiles, tmp_path: Path
) -> None:
    def booted(disk: DiskImage, user_data: str, flavor: Flavor, server_id: str = "") -> GuestSpec:
        return linux(
            disk, user_data, flavor, server_id,
            kernel=str(files.kernel), ramdisk=str(files.ramdisk), command_line=files.command_line,
        )  # fmt: skip

    guest = booted(raw_image(files.blank), COUNTS, RICH)
    await driver.spawn(guest)
    seen = (await console_has(driver, guest.server_id, b"guest: ready", seconds=SECONDS)).decode()

    await driver.pause(guest.server_id)
    await driver.unpause(guest.server_id)
    await counts_on(driver, guest.server_id)
    await driver.suspend(guest.server_id)
    assert await driver.power(guest.server_id) == Power.SHUTDOWN
    await driver.resume(guest.server_id)
    await counts_on(driver, guest.server_id)
    image = tmp_path / "image.qcow2"
    await driver.snapshot(guest.server_id, image)
    await counts_on(driver, guest.server_id)
    screen = await driver.screenshot(guest.server_id)
    counted = (await driver.console_output(guest.server_id, 2**20)).decode()

    copy = booted(DiskImage(path=str(image), format="qcow2", size_bytes=image.stat().st_size), LOOKS, FLAVOR)
    await driver.spawn(copy)
    of_the_copy = await console_has(driver, copy.server_id, b"guest: ready", seconds=SECONDS)
    await driver.destroy(copy.server_id)

    rescuer = booted(raw_image(files.blank), LOOKS, RICH, guest.server_id)
    source = BootSource(
        disk=rescuer.disk, kernel=rescuer.kernel, ramdisk=rescuer.ramdisk, command_line=rescuer.command_line
    )
    await driver.rescue(rescuer, source)
    rescued = await console_has(driver, guest.server_id, b"guest: ready", times=2, seconds=SECONDS)
    await driver.unrescue(guest.server_id)
    after = await console_has(driver, guest.server_id, b"guest: ready", times=3, seconds=SECONDS)

    assert "it has 2 processors" in seen
    assert 120_000 < int(re.findall(r"and (\d+) kB", seen)[0]) < 192 * 1024
    assert re.findall(r"it has disk (\d+) (vd.)", seen)[:3] == [
        (str(2**20), "vda"), (str(2 * 2**20), "vdb"), (str(64 * 2**10), "vdc"),
    ]  # fmt: skip
    assert f"instance-id {guest.server_id}" in seen  # so the config drive is found behind them
    assert [int(number) for number in re.findall(r"counter (\d+)", counted)] == list(
        range(1, counted.count("counter") + 1)
    )
    assert counted.count("novaflow guest: booting") == 1
    assert png_size(screen)[0] > 0
    assert b"boot 2" in of_the_copy
    assert b"the old disk was booted 1 time(s) and has a marker of the first boot" in rescued
    assert b"novaflow guest: boot 2" in after[len(rescued) :]
