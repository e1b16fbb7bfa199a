"""Servers between two hosts, through the whole cloud: another size, another place, the same disk."""

from pathlib import Path

import pytest

from tests.support.libvirt import need_libvirt
from tests.support.linux_server import GIB, LARGE, LIFE, MIB, SMALL, LinuxServer, disks, linux_cloud, memory


@pytest.mark.timeout(600)
async def test_a_guest_sees_its_new_size_and_keeps_its_disk_on_the_way_to_another_host(state_dir: Path) -> None:
    need_libvirt()
    async with linux_cloud(state_dir, LIFE, "--hosts", "2") as cloud:
        large = await cloud.flavor("m1.after", **LARGE)
        web = await cloud.boot("web", await cloud.flavor("m1.before", **SMALL))
        has_size(await web.boots(1), SMALL)
        await is_resized_in_vain(web, large)
        await is_resized(web, large)
        await is_migrated(web)
        await web.act("forceDelete")
        await web.is_gone()
        assert list(state_dir.glob("compute/*/instances/*")) == []


def has_size(said: str, flavor: dict[str, int]) -> None:
    """What nproc, /proc/meminfo and /proc/partitions say."""
    assert f"{flavor['vcpus']} processors" in said
    assert (flavor["ram"] - 72) * MIB < memory(said) < flavor["ram"] * MIB
    assert disks(said)["vda"] == flavor["disk"] * GIB


async def host(web: LinuxServer, status: str) -> str:
    """Where it is, once it has this status."""
    return str((await web.becomes(status))["OS-EXT-SRV-ATTR:host"])


async def is_resized_in_vain(web: LinuxServer, flavor: str) -> None:
    """The old guest is kept where it was, and runs there again."""
    source = await host(web, "ACTIVE")
    await web.act("resize", {"flavorRef": flavor})
    assert await host(web, "VERIFY_RESIZE") != source
    has_size(await web.boots(2), LARGE)
    await web.act("revertResize")
    assert await host(web, "ACTIVE") == source
    await web.keeps_its_file(boots=2)  # what it did as a large one is gone
    has_size(await web.boots(2), SMALL)


async def is_resized(web: LinuxServer, flavor: str) -> None:
    """For good."""
    source = await host(web, "ACTIVE")
    await web.act("resize", {"flavorRef": flavor})
    await web.becomes("VERIFY_RESIZE")
    await web.act("confirmResize")
    assert await host(web, "ACTIVE") != source
    await web.keeps_its_file(boots=3)
    has_size(await web.boots(3), LARGE)


async def is_migrated(web: LinuxServer) -> None:
    """Switched off, carried over, switched on."""
    source = await host(web, "ACTIVE")
    await web.act("migrate")
    assert await host(web, "VERIFY_RESIZE") != source
    await web.act("confirmResize")
    await web.becomes("ACTIVE")
    await web.keeps_its_file(boots=4)
