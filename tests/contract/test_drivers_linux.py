"""The tiny Linux guest on real domains: what it reads from its config drive, and how it obeys the power button."""

import base64
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from novaflow.config import Compute
from novaflow.models import BuildPlan, Flavor, InjectedFile, Server
from novaflow.states import Power, Task, Vm
from novaflow.virt.choose import open_driver
from novaflow.virt.config_drive import GuestNetwork, build_config_drive
from novaflow.virt.driver import DiskImage, Driver, GuestSpec
from novaflow.virt.guest import GuestFiles, build_guest
from tests.support.guests import ADDRESS, console_has, guest_spec, raw_image
from tests.support.libvirt import need_libvirt, process_directory

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
    made = open_driver(
        Compute(virt="qemu:///embed", virt_type="qemu"), host=f"host-{uuid.uuid4().hex[:8]}", directory=process_directory()
    )  # fmt: skip
    await made.open()
    yield made
    for guest in await made.guests():
        await made.destroy(guest.server_id)
    await made.close()


def linux(disk: DiskImage, **boots: str) -> GuestSpec:
    server_id = str(uuid.uuid4())
    server = Server(
        id=server_id, name="Web server", hostname="web-server", project_id="project", user_id="user", flavor=FLAVOR,
        image_id=str(uuid.uuid4()), vm=Vm.BUILDING, task=Task.SPAWNING, power=Power.NOSTATE,
        created_at=NOW, updated_at=NOW, key_name="mine",
    )  # fmt: skip
    plan = BuildPlan(
        server=server,
        user_data=base64.b64encode(USER_DATA.encode()).decode(),
        files=(InjectedFile(path="/etc/motd", contents=base64.b64encode(b"be welcome").decode()),),
        public_key="ssh-ed25519 AAAA me@here",
    )
    drive = build_config_drive(
        plan, network=GuestNetwork(addresses=(ADDRESS,)), made_at=NOW, random_seed=bytes(512)
    )  # fmt: skip
    return guest_spec(server_id=server_id, flavor=FLAVOR, disk=disk, config_drive=drive, **boots)


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
