"""What only libvirt does when a guest moves while it runs: aborting, dying in the middle, and what travels."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import libvirt
import msgspec
import pytest

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.states import Power
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Driver, GuestSpec, GuestState, Incoming
from novaflow.virt.iso9660 import build_image
from novaflow.virt.libvirt.connection import release, share
from tests.support.guests import guest_spec, raw_image
from tests.support.hypervisors import Hypervisor
from tests.support.libvirt import boot_sector, need_libvirt, process_directory
from tests.support.libvirtd import TwoDaemons, daemons, two_hosts, way

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = 60.0
MIB = 2**20
ROOMY = Flavor(id="4", name="m1.roomy", vcpus=2, ram_mb=96, disk_gb=1, ephemeral_gb=1, swap_mb=64)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[TwoDaemons]:
    async with daemons(tmp_path) as made:
        yield made


@pytest.fixture
async def here(two: TwoDaemons) -> AsyncIterator[Hypervisor]:
    async with two_hosts(two) as made:
        yield made


@pytest.fixture
async def there(here: Hypervisor) -> AsyncIterator[Driver]:
    async with here.neighbour() as driver:
        yield driver


async def slow_guest(two: TwoDaemons, here: Hypervisor) -> GuestSpec:
    """One that takes half a minute to move: a disk that cannot be compressed, and a slow way."""
    image = two.directory / "heavy.img"
    image.write_bytes(boot_sector() + os.urandom(32 * MIB))
    guest = await here.running(disk=raw_image(image))
    connection = share(two.first.uri)
    await connection.run(lambda link: link.lookupByUUIDString(guest.server_id).migrateSetMaxSpeed(1))
    await release(connection)
    return guest


async def under_way(two: TwoDaemons, server_id: str) -> None:
    """Wait until the destination has the guest's domain."""
    connection = share(two.second.uri)
    async with asyncio.timeout(SECONDS):
        while not await connection.run(_is_there, server_id):
            await asyncio.sleep(0.02)
    await release(connection)


def _is_there(link: libvirt.virConnect, server_id: str) -> bool:
    with suppress(libvirt.libvirtError):
        return bool(link.lookupByUUIDString(server_id).isActive())
    return False


async def moves(here: Hypervisor, guest: GuestSpec, there: Driver, incoming: Incoming) -> None:
    """It arrives, and nothing of it is left here."""
    await here.driver.migrate(guest.server_id, incoming)
    await there.finish_incoming(guest.server_id)
    assert await here.driver.guests() == []
    assert await there.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]


async def goes_on(here: Hypervisor, guest: GuestSpec) -> None:
    """It runs here, and did not boot again."""
    assert await here.driver.power(guest.server_id) == Power.RUNNING
    assert await here.boots(guest.server_id) == 1


async def test_no_guest_comes_to_the_libvirt_inside_a_process() -> None:
    need_libvirt()
    driver = open_driver(Compute(virt="qemu:///embed", virt_type="qemu"), host="live", directory=process_directory())
    await driver.open()

    with pytest.raises(GuestFailed, match="use a libvirt daemon") as failed:
        await driver.prepare_incoming(guest_spec(kernel=sys.executable), {"disk": MIB})

    assert failed.value.operation == "prepare_incoming"
    await driver.close()


async def test_all_that_a_guest_has_travels(two: TwoDaemons, here: Hypervisor, there: Driver) -> None:
    properties = {
        "hw_vif_model": "e1000",
        "hw_qemu_guest_agent": "yes",
        "hw_rng_model": "virtio",
        "hw_disk_bus": "scsi",
    }
    drive = build_image("config-2", {"a": b"secret"}, NOW)
    guest = here.guest(flavor=ROOMY, config_drive=drive, properties=properties | {"hw_disk_bus": "virtio"})
    await here.driver.spawn(guest)
    sizes = await here.driver.disk_sizes(guest.server_id)

    await moves(here, guest, there, await way(here.driver, guest, there))

    assert sizes == {"disk": 2**30, "ephemeral": 2**30, "swap": 64 * MIB}
    assert await there.disk_sizes(guest.server_id) == sizes
    drives = list(two.hosts.glob("other-*/instances/*/config.iso"))
    assert [path.read_bytes() for path in drives] == [drive]
    assert drives[0].stat().st_mode & 0o777 == 0o600
    assert list((two.hosts / here.host / "instances").iterdir()) == []
    await there.power_off(guest.server_id, 0)
    await there.power_on(guest.server_id)  # from its definition there, which needs nothing of the other host
    assert await there.power(guest.server_id) == Power.RUNNING


async def test_its_screen_is_served_where_it_went(here: Hypervisor, there: Driver) -> None:
    guest = await here.running()

    await moves(here, guest, there, await way(here.driver, guest, there))

    screen = await there.console(guest.server_id)
    reader, writer = await asyncio.open_connection(screen.host, screen.port)
    assert await asyncio.wait_for(reader.read(4), SECONDS) == b"RFB "
    writer.close()


async def test_a_guest_that_takes_too_long_stays(two: TwoDaemons, here: Hypervisor, there: Driver) -> None:
    two.settings = msgspec.structs.replace(two.settings, live_migration_timeout=1.0)
    await here.restart()
    guest = await slow_guest(two, here)

    with pytest.raises(GuestFailed, match="had not moved after 1 s"):
        await here.driver.migrate(guest.server_id, await way(here.driver, guest, there))

    await goes_on(here, guest)
    assert await there.guests() == []


async def test_a_guest_whose_move_is_cancelled_stays_and_may_move_later(
    two: TwoDaemons, here: Hypervisor, there: Driver
) -> None:
    guest = await slow_guest(two, here)
    moving = asyncio.create_task(here.driver.migrate(guest.server_id, await way(here.driver, guest, there)))
    await under_way(two, guest.server_id)

    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving

    await goes_on(here, guest)
    await there.destroy(guest.server_id)
    quick = await here.running()
    await moves_beside(here, quick, there)


async def test_a_guest_that_was_made_to_stand_still_runs_again_when_it_does_not_leave(
    two: TwoDaemons, here: Hypervisor, there: Driver
) -> None:
    guest = await slow_guest(two, here)
    moving = asyncio.create_task(here.driver.migrate(guest.server_id, await way(here.driver, guest, there)))

    await under_way(two, guest.server_id)
    await here.driver.force_complete(guest.server_id)
    assert await here.driver.power(guest.server_id) == Power.PAUSED
    await here.driver.force_complete(guest.server_id)
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving

    await goes_on(here, guest)
    assert await there.guests() == []


async def moves_beside(here: Hypervisor, guest: GuestSpec, there: Driver) -> None:
    """It arrives, whoever else is here."""
    await here.driver.migrate(guest.server_id, await way(here.driver, guest, there))
    await there.finish_incoming(guest.server_id)
    assert await there.power(guest.server_id) == Power.RUNNING


async def test_destroying_a_guest_that_is_leaving_does_not_wait_for_it(
    two: TwoDaemons, here: Hypervisor, there: Driver
) -> None:
    guest = await slow_guest(two, here)
    moving = asyncio.create_task(here.driver.migrate(guest.server_id, await way(here.driver, guest, there)))
    await under_way(two, guest.server_id)

    await asyncio.wait_for(here.driver.destroy(guest.server_id), SECONDS / 4)

    with pytest.raises(GuestFailed, match="destroyed meanwhile"):
        await moving
    assert await here.driver.guests() == []
    assert await there.guests() == []


async def test_a_guest_that_is_ordered_away_again_after_it_left_has_left(here: Hypervisor, there: Driver) -> None:
    guest = await here.running()
    incoming = await way(here.driver, guest, there)
    await here.driver.migrate(guest.server_id, incoming)

    await moves(here, guest, there, incoming)


@pytest.mark.parametrize("is_forced", [False, True], ids=["by itself", "forced"])
async def test_a_guest_whose_process_was_killed_as_it_left_stays_and_may_be_ordered_away_again(
    two: TwoDaemons, here: Hypervisor, there: Driver, *, is_forced: bool
) -> None:
    guest = await slow_guest(two, here)
    incoming = await way(here.driver, guest, there)
    leaver = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.libvirtd_leaver", str(two.hosts), here.host, two.first.uri, guest.server_id,
        cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert leaver.stdin
    leaver.stdin.write(msgspec.json.encode(incoming))
    leaver.stdin.close()
    await under_way(two, guest.server_id)
    if is_forced:
        await here.driver.force_complete(guest.server_id)
    leaver.kill()
    await leaver.wait()

    await here.restart()

    await goes_on(here, guest)
    connection = share(two.first.uri)
    await connection.run(lambda link: link.lookupByUUIDString(guest.server_id).migrateSetMaxSpeed(1000))
    await release(connection)
    await there.destroy(guest.server_id)
    await moves(here, guest, there, await way(here.driver, guest, there))


async def test_a_guest_whose_libvirt_was_killed_as_it_left_stays_and_may_be_ordered_away_again(
    two: TwoDaemons, here: Hypervisor, there: Driver
) -> None:
    guest = await slow_guest(two, here)
    moving = asyncio.create_task(here.driver.migrate(guest.server_id, await way(here.driver, guest, there)))
    await under_way(two, guest.server_id)

    await two.first.kill9()
    with pytest.raises(GuestFailed):
        await moving
    await two.first.start()

    await here.reaches(guest.server_id, Power.RUNNING)
    await goes_on(here, guest)
    await there.destroy(guest.server_id)
    await moves(here, guest, there, await way(here.driver, guest, there))
