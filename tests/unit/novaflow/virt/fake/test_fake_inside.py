"""What a fake guest has inside: memory that is kept or lost, a disk that is kept or fresh, and what the flavor gave it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.states import Power
from novaflow.virt.choose import fake_resources
from novaflow.virt.driver import BootSource, DiskImage, GuestSpec
from novaflow.virt.fake import FakeDelays, FakeDriver
from novaflow.virt.fake.guest import Memory
from tests.support.guests import guest_spec, raw_image

GIB = 2**30
MIB = 2**20
RICH = Flavor(id="7", name="m1.rich", vcpus=3, ram_mb=512, disk_gb=2, ephemeral_gb=1, swap_mb=64)
PASSWORD = "s3cret-of-the-guest"


async def host(directory: Path, name: str = "host", delays: FakeDelays | None = None) -> FakeDriver:
    driver = FakeDriver(directory / name, fake_resources(Compute(), name), delays=delays)
    await driver.open()
    return driver


@pytest.fixture
async def driver(tmp_path: Path) -> FakeDriver:
    return await host(tmp_path)


@pytest.fixture
def guest(tmp_path: Path) -> GuestSpec:
    (tmp_path / "image").write_bytes(bytes(512))
    return guest_spec(disk=raw_image(tmp_path / "image"))


def of_qcow2(path: Path) -> DiskImage:
    return DiskImage(path=str(path), format="qcow2", size_bytes=path.stat().st_size)


Step = Callable[[FakeDriver, str], Awaitable[None]]


async def pause_and_go_on(driver: FakeDriver, server_id: str) -> None:
    await driver.pause(server_id)
    await driver.unpause(server_id)


async def save_and_go_on(driver: FakeDriver, server_id: str) -> None:
    await driver.suspend(server_id)
    await driver.resume(server_id)


async def save_and_switch_on(driver: FakeDriver, server_id: str) -> None:
    await driver.suspend(server_id)
    await driver.power_on(server_id)


async def off_and_on(driver: FakeDriver, server_id: str) -> None:
    await driver.power_off(server_id, 5)
    await driver.power_on(server_id)


async def save_forget_and_resume(driver: FakeDriver, server_id: str) -> None:
    await driver.suspend(server_id)
    await driver.power_off(server_id, 5)
    await driver.resume(server_id)


async def reboot(driver: FakeDriver, server_id: str) -> None:
    await driver.reboot(server_id, hard=False, timeout=5)


async def save_and_reboot(driver: FakeDriver, server_id: str) -> None:
    await driver.suspend(server_id)
    await driver.reboot(server_id, hard=True, timeout=0)


async def die_and_start(driver: FakeDriver, server_id: str) -> None:
    driver.guest_dies(server_id)
    await driver.power_on(server_id)


@pytest.mark.parametrize("step", [pause_and_go_on, save_and_go_on, save_and_switch_on])
async def test_memory_is_kept(driver: FakeDriver, guest: GuestSpec, step: Step) -> None:
    await driver.spawn(guest)
    before = driver.inside(guest.server_id)

    await step(driver, guest.server_id)

    after = driver.inside(guest.server_id)
    assert after.memory == Memory(boot_id=before.memory.boot_id, counter=1)
    assert after.boots == 1


@pytest.mark.parametrize(
    "step", [off_and_on, save_forget_and_resume, reboot, save_and_reboot, die_and_start], ids=lambda step: step.__name__
)
async def test_memory_is_lost_and_the_disk_is_kept(driver: FakeDriver, guest: GuestSpec, step: Step) -> None:
    await driver.spawn(guest)
    before = driver.inside(guest.server_id)

    await step(driver, guest.server_id)

    after = driver.inside(guest.server_id)
    assert after.power == Power.RUNNING
    assert after.memory.boot_id not in {"", before.memory.boot_id}
    assert (after.boots, after.content) == (2, before.content)


async def test_a_guest_that_is_off_has_nothing_in_its_memory(driver: FakeDriver, guest: GuestSpec) -> None:
    await driver.spawn(guest)
    await driver.suspend(guest.server_id)
    assert driver.inside(guest.server_id).memory != Memory()

    await driver.power_off(guest.server_id, 0)

    assert driver.inside(guest.server_id).memory == Memory()


async def test_a_rebuilt_guest_has_a_fresh_disk(driver: FakeDriver, guest: GuestSpec) -> None:
    await driver.spawn(guest)
    before = driver.inside(guest.server_id).content

    await driver.spawn(guest)

    assert driver.inside(guest.server_id).content not in {"", before}


async def test_a_guest_of_a_snapshot_finds_what_was_on_the_disk(
    driver: FakeDriver, guest: GuestSpec, tmp_path: Path
) -> None:
    await driver.spawn(guest)
    await driver.snapshot(guest.server_id, tmp_path / "snapshot")

    copy = guest_spec(disk=of_qcow2(tmp_path / "snapshot"))
    await driver.spawn(copy)

    assert driver.inside(copy.server_id).content == driver.inside(guest.server_id).content


async def test_a_guest_without_a_disk_has_no_image(driver: FakeDriver, guest: GuestSpec, tmp_path: Path) -> None:
    bare = guest_spec(kernel=str(tmp_path / "image"))
    await driver.spawn(bare)

    with pytest.raises(GuestFailed, match="the guest has no root disk"):
        await driver.snapshot(bare.server_id, tmp_path / "snapshot")

    assert driver.inside(bare.server_id).drives == {}


async def test_a_guest_gets_what_its_flavor_says(driver: FakeDriver, guest: GuestSpec) -> None:
    await driver.spawn(guest_spec(server_id=guest.server_id, disk=guest.disk, flavor=RICH))

    got = driver.inside(guest.server_id)
    assert (got.vcpus, got.ram_mb) == (3, 512)
    assert got.disks == {"disk": 2 * GIB, "ephemeral": GIB, "swap": 64 * MIB}


async def test_a_flavor_without_a_disk_gives_the_images_size(driver: FakeDriver, guest: GuestSpec) -> None:
    flavor = Flavor(id="0", name="m1.any", vcpus=1, ram_mb=64, disk_gb=0)

    await driver.spawn(guest_spec(server_id=guest.server_id, disk=guest.disk, flavor=flavor))

    assert driver.inside(guest.server_id).disks == {"disk": 512}


async def test_the_rescue_system_is_the_first_disk_and_the_own_one_the_second(
    driver: FakeDriver, guest: GuestSpec, tmp_path: Path
) -> None:
    await driver.spawn(guest)
    own = driver.inside(guest.server_id).content

    await driver.rescue(guest, BootSource(disk=guest.disk))
    rescued = driver.inside(guest.server_id)
    await driver.rescue(guest, BootSource(kernel=str(tmp_path / "image")))
    from_kernel = driver.inside(guest.server_id)
    await driver.unrescue(guest.server_id)

    assert rescued.drives["vdb"] == own
    assert rescued.drives["vda"] not in {"", own}
    assert from_kernel.drives == {"vda": own}
    assert driver.inside(guest.server_id).drives == {"vda": own}


async def test_a_rescue_that_a_hook_fails_leaves_the_guest_off_and_its_own(tmp_path: Path, guest: GuestSpec) -> None:
    async def before(operation: str, server_id: str) -> None:
        if operation == "rescue":
            raise GuestFailed(operation=operation, server_id=server_id, reason="the experiment wants it")

    driver = FakeDriver(tmp_path, fake_resources(Compute(), "host"), before=before)
    await driver.open()
    await driver.spawn(guest)

    with pytest.raises(GuestFailed, match="the experiment wants it"):
        await driver.rescue(guest, BootSource(disk=guest.disk))

    assert await driver.power(guest.server_id) == Power.SHUTDOWN
    assert driver.inside(guest.server_id).rescue is None


async def test_a_resized_guest_keeps_its_disk_and_gets_its_flavor(
    driver: FakeDriver, guest: GuestSpec, tmp_path: Path
) -> None:
    await driver.spawn(guest)
    own = driver.inside(guest.server_id)
    await driver.power_off(guest.server_id, 0)
    await driver.park(guest.server_id)
    other = await host(tmp_path, "other")

    await other.adopt(
        guest_spec(server_id=guest.server_id, flavor=RICH),
        await driver.parked_files(guest.server_id),
        is_running=True,
    )

    resized = other.inside(guest.server_id)
    assert resized.content == own.content
    assert (resized.vcpus, resized.ram_mb, resized.disks["disk"]) == (3, 512, 2 * GIB)
    await driver.unpark(guest.server_id, is_running=True)
    reverted = driver.inside(guest.server_id)
    assert (reverted.content, reverted.disks, reverted.ram_mb) == (own.content, own.disks, own.ram_mb)
    assert [file.name for file in (tmp_path / "host" / "parked").iterdir()] == []


async def test_live_migration_keeps_everything(driver: FakeDriver, guest: GuestSpec, tmp_path: Path) -> None:
    await driver.spawn(guest)
    before = driver.inside(guest.server_id)
    other = await host(tmp_path, "other")

    await driver.migrate(guest.server_id, await other.prepare_incoming(guest, await driver.disk_sizes(guest.server_id)))
    await other.finish_incoming(guest.server_id)

    after = other.inside(guest.server_id)
    assert after.memory == Memory(boot_id=before.memory.boot_id, counter=1)
    assert (after.content, after.boots, after.console) == (before.content, 1, before.console)


async def test_a_guest_that_came_while_nobody_watched_is_found(
    driver: FakeDriver, guest: GuestSpec, tmp_path: Path
) -> None:
    await driver.spawn(guest)
    other = await host(tmp_path, "other")
    incoming = await other.prepare_incoming(guest, await driver.disk_sizes(guest.server_id))
    await other.close()
    await driver.migrate(guest.server_id, incoming)

    again = await host(tmp_path, "other")

    assert await again.power(guest.server_id) == Power.RUNNING
    await again.finish_incoming(guest.server_id)
    assert again.inside(guest.server_id).memory.counter == 1
    assert list((tmp_path / "other" / "incoming").iterdir()) == []


async def test_a_migration_that_is_cancelled_in_time_leaves_the_guest_here(guest: GuestSpec, tmp_path: Path) -> None:
    driver = await host(tmp_path, delays=FakeDelays(migrate=60))
    other = await host(tmp_path, "other")
    await driver.spawn(guest)
    before = driver.inside(guest.server_id)
    incoming = await other.prepare_incoming(guest, before.disks)
    moving = asyncio.create_task(driver.migrate(guest.server_id, incoming))
    await asyncio.sleep(0)

    moving.cancel()
    await asyncio.wait([moving])

    assert driver.inside(guest.server_id) == before
    assert await other.guests() == []
    with pytest.raises(GuestFailed, match="has not come"):
        await other.finish_incoming(guest.server_id)


async def test_a_guest_that_dies_on_the_way_has_not_moved(guest: GuestSpec, tmp_path: Path) -> None:
    driver = await host(tmp_path, delays=FakeDelays(migrate=0.05))
    other = await host(tmp_path, "other")
    await driver.spawn(guest)
    incoming = await other.prepare_incoming(guest, await driver.disk_sizes(guest.server_id))
    moving = asyncio.create_task(driver.migrate(guest.server_id, incoming))
    await asyncio.sleep(0)

    driver.guest_dies(guest.server_id)

    with pytest.raises(GuestFailed, match="not running"):
        await moving
    assert await driver.power(guest.server_id) == Power.SHUTDOWN


async def test_a_rescued_guest_does_not_move(driver: FakeDriver, guest: GuestSpec, tmp_path: Path) -> None:
    await driver.spawn(guest)
    other = await host(tmp_path, "other")
    incoming = await other.prepare_incoming(guest, await driver.disk_sizes(guest.server_id))
    await driver.rescue(guest, BootSource(disk=guest.disk))

    with pytest.raises(GuestFailed, match="rescued"):
        await driver.migrate(guest.server_id, incoming)

    assert await driver.power(guest.server_id) == Power.RUNNING


async def test_a_password_is_set_by_the_agent_and_kept_nowhere(
    driver: FakeDriver, guest: GuestSpec, tmp_path: Path
) -> None:
    properties = {"hw_qemu_guest_agent": "yes"}
    await driver.spawn(guest_spec(server_id=guest.server_id, disk=guest.disk, properties=properties))

    for user in ("root", "admin", "root"):
        await driver.set_password(guest.server_id, user, PASSWORD)

    assert driver.inside(guest.server_id).passwords_set_for == ("admin", "root")
    kept = (file.read_bytes() for file in (tmp_path / "host").rglob("*") if file.is_file())
    assert not any(PASSWORD.encode() in content for content in kept)
    await driver.pause(guest.server_id)
    with pytest.raises(GuestFailed, match="paused"):
        await driver.set_password(guest.server_id, "root", PASSWORD)


async def test_an_interrupt_shows_on_the_console(driver: FakeDriver, guest: GuestSpec) -> None:
    await driver.spawn(guest)

    await driver.inject_nmi(guest.server_id)

    assert driver.inside(guest.server_id).interrupts == 1
    assert b"non-maskable interrupt" in await driver.console_output(guest.server_id, 1000)


async def test_a_damaged_parked_guest_is_a_refusal(driver: FakeDriver, guest: GuestSpec, tmp_path: Path) -> None:
    await driver.spawn(guest)
    await driver.power_off(guest.server_id, 0)
    await driver.park(guest.server_id)
    (tmp_path / "host" / "parked" / f"{guest.server_id}.json").write_bytes(b"{")

    with pytest.raises(GuestFailed) as failed:
        await driver.unpark(guest.server_id, is_running=True)

    assert failed.value.operation == "unpark"


async def test_a_slow_migration_ends_with_its_guest(guest: GuestSpec, tmp_path: Path) -> None:
    driver = await host(tmp_path, delays=FakeDelays(migrate=60))
    other = await host(tmp_path, "other")
    await driver.spawn(guest)
    incoming = await other.prepare_incoming(guest, await driver.disk_sizes(guest.server_id))
    moving = asyncio.create_task(driver.migrate(guest.server_id, incoming))
    await asyncio.sleep(0)

    await driver.destroy(guest.server_id)

    with pytest.raises(GuestFailed, match="destroyed meanwhile"):
        await moving
    assert await driver.guests() == []
    assert await other.guests() == []


async def test_a_slow_snapshot_ends_with_its_guest(guest: GuestSpec, tmp_path: Path) -> None:
    driver = await host(tmp_path, delays=FakeDelays(snapshot=60))
    await driver.spawn(guest)
    working = asyncio.create_task(driver.snapshot(guest.server_id, tmp_path / "snapshot"))
    await asyncio.sleep(0)

    await driver.destroy(guest.server_id)

    with pytest.raises(GuestFailed, match="destroyed meanwhile"):
        await working
    assert not (tmp_path / "snapshot").exists()


SLOW: dict[str, Callable[[FakeDriver, GuestSpec, Path], Awaitable[None]]] = {
    "power_on": lambda driver, guest, _: driver.rescue(guest, BootSource(disk=guest.disk)),
    "suspend": lambda driver, guest, _: driver.suspend(guest.server_id),
    "resume": lambda driver, guest, _: driver.resume(guest.server_id),
    "snapshot": lambda driver, guest, path: driver.snapshot(guest.server_id, path),
    "adopt": lambda driver, guest, _: driver.adopt(guest, [], is_running=True),
}


@pytest.mark.parametrize("operation", ["suspend", "snapshot"])
async def test_an_operation_that_takes_its_time_and_is_cancelled_leaves_the_guest_as_it_was(
    guest: GuestSpec, tmp_path: Path, operation: str
) -> None:
    driver = await host(tmp_path, delays=FakeDelays(suspend=60, snapshot=60))
    await driver.spawn(guest)
    before = driver.inside(guest.server_id)
    working = asyncio.ensure_future(SLOW[operation](driver, guest, tmp_path / "snapshot"))
    await asyncio.sleep(0)

    working.cancel()
    await asyncio.wait([working])

    assert driver.inside(guest.server_id) == before
    assert not (tmp_path / "snapshot").exists()


@pytest.mark.parametrize("operation", SLOW)
async def test_an_operation_takes_as_long_as_it_is_told(guest: GuestSpec, tmp_path: Path, operation: str) -> None:
    kernel = guest_spec(server_id=guest.server_id, kernel=str(tmp_path / "image"))
    driver = await host(tmp_path, delays=FakeDelays(**{operation: 60}))
    await driver.spawn(guest)
    working = asyncio.ensure_future(SLOW[operation](driver, kernel if operation == "adopt" else guest, tmp_path / "s"))

    done, _ = await asyncio.wait([working], timeout=0.02)

    assert not done
    working.cancel()
    await asyncio.wait([working])
