"""Guests of every kind that flavors and images can ask for, as QEMU really has them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.virt.driver import Driver
from tests.support.embedded import asked
from tests.support.guests import console_has, guest_spec, raw_image
from tests.support.hypervisors import embedded_host
from tests.support.libvirt import sector_image

NOTICES: list[str] = []
ALL = {
    "hw_vif_model": "e1000", "hw_video_model": "cirrus", "hw_rng_model": "virtio", "hw_watchdog_action": "pause",
    "hw_qemu_guest_agent": "yes", "hw_cpu_cores": "2",
}  # fmt: skip


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    NOTICES.clear()
    async with embedded_host(on_notice=NOTICES.append) as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return sector_image(tmp_path)


def flavor(**specs: str) -> Flavor:
    named = {f"quota:{name}": value for name, value in specs.items()}
    return Flavor(
        id="2", name="m1.two", vcpus=2, ram_mb=64, disk_gb=1, ephemeral_gb=1, swap_mb=64, extra_specs=named
    )  # fmt: skip


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
