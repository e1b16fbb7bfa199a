"""Guests of every kind that flavors and images can ask for, as QEMU really has them."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import libvirt
import pytest

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Driver
from novaflow.virt.libvirt.connection import release, share
from novaflow.virt.libvirt.embed import prepare_root
from tests.support.guests import console_has, guest_spec, raw_image
from tests.support.libvirt import boot_sector, need_libvirt, process_directory

NOTICES: list[str] = []
ALL = {
    "hw_vif_model": "e1000", "hw_video_model": "cirrus", "hw_rng_model": "virtio", "hw_watchdog_action": "pause",
    "hw_qemu_guest_agent": "yes", "hw_cpu_cores": "2",
}  # fmt: skip


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    need_libvirt()
    NOTICES.clear()
    settings = Compute(virt="qemu:///embed", virt_type="qemu")
    made = open_driver(
        settings, host=f"host-{uuid.uuid4().hex[:8]}", directory=process_directory(), on_notice=NOTICES.append
    )
    await made.open()
    yield made
    for guest in await made.guests():
        await made.destroy(guest.server_id)
    await made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "sector.img"
    path.write_bytes(boot_sector())
    return path


def flavor(**specs: str) -> Flavor:
    named = {f"quota:{name}": value for name, value in specs.items()}
    return Flavor(
        id="2", name="m1.two", vcpus=2, ram_mb=64, disk_gb=1, ephemeral_gb=1, swap_mb=64, extra_specs=named
    )  # fmt: skip


async def asked(question: Callable[[libvirt.virConnect], dict[str, int]]) -> dict[str, int]:
    """What the libvirt of this process says."""
    connection = share(f"qemu:///embed?root={prepare_root(process_directory())}")
    try:
        return await connection.run(question)
    finally:
        await release(connection)


@pytest.mark.parametrize(
    "properties",
    [
        {"hw_disk_bus": "ide"},
        {"hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi"},
        {"hw_disk_bus": "sata"},
        {"hw_machine_type": "q35"},
        {"hw_machine_type": "q35", "hw_disk_bus": "sata", **ALL},
        ALL,
        {"hw_video_model": "none", "hw_vif_model": "rtl8139"},
    ],
    ids=lambda properties: ",".join(
        f"{name.removeprefix('hw_')}={value}" for name, value in list(properties.items())[:3]
    ),
)
async def test_a_guest_of_this_kind_boots(driver: Driver, image: Path, properties: dict[str, str]) -> None:
    guest = guest_spec(disk=raw_image(image), flavor=flavor(), properties=properties)

    await driver.spawn(guest)

    await console_has(driver, guest.server_id, b"HELLO")
    assert (await driver.diagnostics(guest.server_id)).vcpus == 2
    await driver.reboot(guest.server_id, hard=True, timeout=0)
    await console_has(driver, guest.server_id, b"HELLO", times=2)


async def test_an_agent_that_does_not_answer_takes_no_password(driver: Driver, image: Path) -> None:
    guest = guest_spec(disk=raw_image(image), properties=ALL)
    await driver.spawn(guest)

    with pytest.raises(GuestFailed, match="agent does not answer") as failed:
        await driver.set_password(guest.server_id, "root", "pass-phrase")

    assert "pass-phrase" not in str(failed.value)


async def test_disks_are_throttled_and_the_operator_hears_of_what_cannot_be(driver: Driver, image: Path) -> None:
    guest = guest_spec(disk=raw_image(image), flavor=flavor(disk_write_iops_sec="77", cpu_shares="512"))

    await driver.spawn(guest)

    limits = await asked(lambda link: link.lookupByUUIDString(guest.server_id).blockIoTune("vda"))
    assert limits["write_iops_sec"] == 77
    assert [notice for notice in NOTICES if "quota:cpu_*" in notice]
