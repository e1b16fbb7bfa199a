"""A volume as a real Linux guest sees it: it comes while the guest runs, keeps what is written, and goes when the guest lets it go."""

import pytest

from novaflow.virt.driver import Driver, StoredVolume
from novaflow.virt.guest import GuestFiles
from tests.contract.test_drivers_linux import FLAVOR, SECONDS, driver, files, linux
from tests.support.embedded import asked, leave_disk
from tests.support.guests import console_has, raw_image
from tests.support.libvirt import process_directory

__all__ = ["driver", "files"]
VOLUME = "22222222-2222-4222-8222-222222222222"
WATCHES = """#!/bin/sh
(has=; while sleep 1; do
  if [ -b /dev/vdc ]; then
    [ -n "$has" ] || { was=$(head -c 5 /dev/vdc | tr -d '\\0'); printf hello >/dev/vdc; sync; has=yes; echo "a volume came, on it: <$was>"; }
  elif [ -n "$has" ]; then echo "the volume went"; has=; fi
done) &
"""


@pytest.mark.timeout(400)
async def test_a_guest_that_runs_sees_a_volume_come_writes_to_it_and_lets_it_go(
    driver: Driver, files: GuestFiles
) -> None:
    blank = raw_image(files.blank)
    boots = {"kernel": str(files.kernel), "ramdisk": str(files.ramdisk), "command_line": files.command_line}
    guest = linux(blank, user_data=WATCHES, flavor=FLAVOR, **boots)
    await driver.spawn(guest)
    await console_has(driver, guest.server_id, b"guest: ready", seconds=SECONDS)
    await driver.make_volume(VOLUME, 1)

    assert await driver.attach_volume(guest.server_id, VOLUME, "") == "vdc"
    await console_has(driver, guest.server_id, b"a volume came, on it: <>", seconds=SECONDS)
    await driver.detach_volume(guest.server_id, VOLUME, SECONDS)
    await console_has(driver, guest.server_id, b"the volume went", seconds=SECONDS)
    assert await driver.volumes() == [StoredVolume(volume_id=VOLUME)]
    await driver.attach_volume(guest.server_id, VOLUME, "")
    await console_has(driver, guest.server_id, b"a volume came, on it: <hello>", seconds=SECONDS)
    await driver.detach_volume(guest.server_id, VOLUME, SECONDS)
    await console_has(driver, guest.server_id, b"the volume went", times=2, seconds=SECONDS)
    (disk,) = process_directory().glob(f"*/volumes/{VOLUME}/disk")
    leave = leave_disk(disk, "libvirt-9", device="virtio-disk2")
    await asked(lambda link: leave(link.lookupByUUIDString(guest.server_id)))
    await console_has(driver, guest.server_id, b"a volume came, on it: <hello>", times=2, seconds=SECONDS)
    assert await driver.attach_volume(guest.server_id, VOLUME, "") == "vdc"
    await driver.detach_volume(guest.server_id, VOLUME, SECONDS)  # too soon for a guest that looks once a second
    assert await driver.volumes() == [StoredVolume(volume_id=VOLUME)]

    await driver.destroy(guest.server_id)
    await driver.remove_volume(VOLUME)
