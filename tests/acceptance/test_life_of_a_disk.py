"""What can be done to a server with its disk kept, through the whole cloud, and the one thing that does not keep it."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.libvirt import need_libvirt
from tests.support.linux_server import KEEPSAKE, LIFE, SMALL, LinuxCloud, LinuxServer, files, linux_cloud

SHUTDOWN: Final = 4  # Nova's power state, by number


@pytest.mark.timeout(600)
async def test_what_a_guest_has_on_its_disk_is_kept_until_it_is_rebuilt(state_dir: Path) -> None:
    need_libvirt()
    async with linux_cloud(state_dir, LIFE) as cloud:
        web = await cloud.boot("web", await cloud.flavor("m1.disk", **SMALL))
        await web.boots(1)
        await is_switched_off_and_on(web)
        await is_rebooted(web)
        await is_rescued(cloud, web)
        await goes_to_the_shelf(web)
        await is_deleted_and_restored(web)
        await is_rebuilt(cloud, web)
        await web.act("forceDelete")
        await web.is_gone()


async def is_switched_off_and_on(web: LinuxServer) -> None:
    """By the power button, which its kernel hears."""
    await web.act("os-stop")
    assert (await web.becomes("SHUTOFF"))["OS-EXT-STS:power_state"] == SHUTDOWN
    await web.says("power button, going down")
    await web.act("os-start")
    await web.becomes("ACTIVE")
    await web.keeps_its_file(boots=2)


async def is_rebooted(web: LinuxServer) -> None:
    """Softly, which its kernel hears as well, and hard."""
    await web.act("reboot", {"type": "SOFT"})
    await web.becomes("ACTIVE")
    await web.keeps_its_file(boots=3)
    assert (await web.said()).count("power button, going down") == 2
    await web.act("reboot", {"type": "HARD"})
    await web.becomes("ACTIVE")
    await web.keeps_its_file(boots=4)
    assert (await web.said()).count("power button, going down") == 2


async def is_rescued(cloud: LinuxCloud, web: LinuxServer) -> None:
    """Another system boots beside the old disk; then the old one boots again."""
    await web.act("rescue", {"rescue_image_ref": cloud.image})
    await web.becomes("RESCUE")
    said = await web.says(f"the old disk has {KEEPSAKE}\n")
    assert "guest: boot 1\n" in said
    await web.act("unrescue")
    await web.becomes("ACTIVE")
    await web.keeps_its_file(boots=5)


async def goes_to_the_shelf(web: LinuxServer) -> None:
    """Its disk becomes an image, its host forgets it, and a host makes it anew of the image."""
    await web.act("shelve")
    await web.becomes("SHELVED")
    await web.act("shelveOffload")
    assert (await web.becomes("SHELVED_OFFLOADED"))["OS-EXT-SRV-ATTR:host"] is None
    await web.act("unshelve")
    await web.becomes("ACTIVE")
    await web.keeps_its_file(boots=6)


async def is_deleted_and_restored(web: LinuxServer) -> None:
    """It is switched off and kept until it is reclaimed."""
    await web.cloud.delete_server(web.id)
    await web.becomes("SOFT_DELETED")
    await web.act("restore")
    await web.becomes("ACTIVE")
    await web.keeps_its_file(boots=7)


async def is_rebuilt(cloud: LinuxCloud, web: LinuxServer) -> None:
    """Nothing is left of what was on its disk."""
    await web.act("rebuild", {"imageRef": cloud.image})
    await web.becomes("ACTIVE")
    said = await web.boots(1)
    assert "keepsake" not in files(said)
    assert "the disk came with" not in said
    assert f"instance-id {web.id}\n" in said
