"""A resize through the whole cloud: what the server becomes, what it keeps, and what is claimed for it on the way."""

from pathlib import Path

import msgspec
import pytest

from novaflow.config import Scheduler
from novaflow.models import Flavor
from novaflow.states import Power, Vm
from tests.support.cloud import TINY, Cloud, cloud, settings
from tests.support.gates import Broken, Gate
from tests.support.moves import (
    BIG,
    cast_move,
    confirm,
    exact,
    files_left,
    inside,
    message,
    move,
    nothing_left,
    other,
    parked,
    revert,
    settled,
    states,
    statuses,
    taken,
    two_hosts,
    usage,
    used,
)

NARROW = Flavor(id="3", name="m1.narrow", vcpus=1, ram_mb=4096, disk_gb=1)
HUGE = msgspec.structs.replace(BIG, id="4", vcpus=1_000_000)


async def test_a_resized_server_has_another_flavor_and_its_own_disk(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        before = inside(world, server)

        resized = await move(world, server, "resize", new=BIG)

        assert (resized.vm, resized.power, resized.flavor) == (Vm.RESIZED, Power.RUNNING, BIG)
        guest = inside(world, resized)
        assert (guest.content, guest.vcpus, guest.ram_mb) == (before.content, 2, 2048)
        assert guest.disks == {"disk": 20 * 2**30, "ephemeral": 2**30, "swap": 64 * 2**20}
        assert guest.memory.boot_id != before.memory.boot_id
        assert guest.console.startswith(before.console)
        assert await states(world, server.id, "resize") == [
            "active/resize_prep",
            "active/resize_migrating",
            "active/resize_migrated",
            "active/resize_finish",
            "resized/none",
        ]


async def test_until_it_is_confirmed_a_resize_holds_room_on_both_hosts_and_the_larger_quota(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        source = server.host or ""
        await world.servers.get(server.id)

        resized = await move(world, server, "resize", new=NARROW, target=other(world, source))
        destination = resized.host or ""
        assert (await used(world, source), await used(world, destination)) == (taken(TINY), taken(NARROW))
        assert parked(world) == {server.id: [source]}
        await exact(world, quota=(1, 1, 4096))

        confirmed = await confirm(world, server)
        assert (confirmed.vm, confirmed.host, confirmed.flavor) == (Vm.ACTIVE, destination, NARROW)
        assert (await used(world, source), await used(world, destination)) == (taken(), taken(NARROW))
        assert (world.guests(), files_left(world)) == ({server.id: [destination]}, [])
        assert await states(world, server.id, "confirmResize") == ["resized/resize_confirming", "active/none"]
        assert await statuses(world, server.id) == ["confirmed"]
        await exact(world, quota=(1, 1, 4096))


async def test_a_reverted_resize_was_never_there(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        before = inside(world, server)
        await move(world, server, "resize", new=BIG, target=other(world, server.host))

        reverted = await revert(world, server)

        assert (reverted.vm, reverted.host, reverted.flavor, reverted.power) == (
            Vm.ACTIVE,
            server.host,
            TINY,
            Power.RUNNING,
        )
        after = inside(world, reverted)
        assert (after.content, after.vcpus, after.disks) == (before.content, 1, before.disks)
        assert (world.guests(), files_left(world)) == ({server.id: [server.host]}, [])
        assert await used(world, other(world, server.host)) == taken()
        assert await states(world, server.id, "revertResize") == [
            "resized/resize_reverting",
            "resized/resize_reverting",
            "active/none",
        ]
        assert await statuses(world, server.id) == ["reverted"]
        await exact(world, quota=(1, 1, 512))


async def test_a_server_that_was_off_is_off_after_its_resize_and_after_its_revert(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")

        resized = await move(world, server, "resize", new=BIG)
        assert (resized.vm, resized.power) == (Vm.RESIZED, Power.SHUTDOWN)
        reverted = await revert(world, server)
        assert (reverted.vm, reverted.power) == (Vm.STOPPED, Power.SHUTDOWN)
        assert await states(world, server.id, "revertResize") == [
            "resized/resize_reverting",
            "resized/resize_reverting",
            "active/powering-off",
            "stopped/none",
        ]

        await move(world, server, "resize", new=BIG)
        confirmed = await confirm(world, server)
        assert (confirmed.vm, confirmed.power, inside(world, confirmed).power) == (Vm.STOPPED, 4, Power.SHUTDOWN)
        await exact(world, quota=(1, 2, 2048))


@pytest.mark.parametrize("ending", [confirm, revert])
async def test_a_resize_may_end_on_the_host_where_it_began(tmp_path: Path, ending: object) -> None:
    async with two_hosts(tmp_path, "a") as world:
        (server,) = await world.boot()
        before = inside(world, server)

        resized = await move(world, server, "resize", new=BIG)
        assert (resized.vm, resized.host) == (Vm.RESIZED, "a")
        assert inside(world, resized).content == before.content
        assert (world.guests(), parked(world)) == ({server.id: ["a"]}, {server.id: ["a"]})
        assert await used(world, "a") == taken(TINY, BIG)
        await exact(world, quota=(1, 2, 2048))

        ended = await (confirm if ending is confirm else revert)(world, server)
        flavor = BIG if ending is confirm else TINY
        assert (ended.vm, ended.flavor, inside(world, ended).vcpus) == (Vm.ACTIVE, flavor, flavor.vcpus)
        assert inside(world, ended).content == before.content
        assert (world.guests(), files_left(world)) == ({server.id: ["a"]}, [])
        assert await used(world, "a") == taken(flavor)
        await exact(world, quota=(1, flavor.vcpus, flavor.ram_mb))


async def test_a_resize_that_fits_nowhere_leaves_the_server_as_it_was_and_says_why(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        before = inside(world, server)

        failed = await move(world, server, "resize", new=HUGE)

        assert (failed.vm, failed.host, failed.flavor) == (Vm.ACTIVE, server.host, TINY)
        why = await message(world, server.id)
        assert why.startswith("No valid host was found. There are not enough hosts available.")
        assert inside(world, failed) == before
        assert await statuses(world, server.id) == ["error"]
        await exact(world, quota=(1, 1, 512))


@pytest.mark.parametrize("operation", ["park", "parked_files", "adopt"])
async def test_a_resize_that_a_hypervisor_refuses_puts_the_guest_back(tmp_path: Path, operation: str) -> None:
    broken = Broken(operation)
    async with two_hosts(tmp_path, before=broken) as world:
        (server,) = await world.boot()
        content = inside(world, server).content

        failed = await move(world, server, "resize", new=BIG, target=other(world, server.host))

        assert (failed.vm, failed.host, failed.flavor, failed.power) == (
            Vm.ACTIVE,
            server.host,
            TINY,
            Power.RUNNING,
        )
        assert (await message(world, server.id)).endswith("the hypervisor is broken")
        assert inside(world, failed).content == content
        assert inside(world, failed).power is Power.RUNNING
        assert (world.guests(), files_left(world)) == ({server.id: [server.host]}, [])
        assert await statuses(world, server.id) == ["error"]
        assert await used(world, other(world, server.host)) == taken()
        await exact(world, quota=(1, 1, 512))


async def test_a_resize_that_fails_on_its_own_host_puts_the_guest_back(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, "a", before=Broken("adopt")) as world:
        (server,) = await world.boot()
        content = inside(world, server).content

        failed = await move(world, server, "resize", new=BIG)

        assert (failed.vm, failed.flavor) == (Vm.ACTIVE, TINY)
        assert inside(world, failed).content == content
        assert (world.guests(), files_left(world)) == ({server.id: ["a"]}, [])
        assert await used(world, "a") == taken(TINY)
        await exact(world, quota=(1, 1, 512))


async def test_a_host_that_cannot_prepare_is_passed_over_for_another_one(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, "a", "b", "c") as world:
        (server,) = await world.boot()
        refusing = Broken("destroy", times=1)
        world.before = refusing
        for name in {"a", "b", "c"} - {server.host}:
            await world.processes[name].stop()
            await world.processes[name].start()

        resized = await move(world, server, "migrate")

        assert resized.vm is Vm.RESIZED
        (refused,) = refusing.failed
        assert resized.host not in (server.host, refused)
        assert await used(world, refused) == taken()
        await exact(world)


async def test_a_resize_gives_up_after_as_many_hosts_as_are_allowed(tmp_path: Path) -> None:
    refusing = Broken("destroy")
    config = settings(scheduler=Scheduler(max_attempts=2))
    async with cloud(tmp_path, config, before=refusing) as world:
        await world.add_host("x")
        await world.add_host("y")
        (server,) = await world.boot()

        failed = await move(world, server, "migrate")

        assert (failed.vm, failed.host, len(refusing.failed)) == (Vm.ACTIVE, server.host, 2)
        assert (await message(world, server.id)).startswith("Exceeded maximum number of retries.")
        await exact(world, quota=(1, 1, 512))


async def test_the_same_resize_ordered_twice_happens_once(tmp_path: Path) -> None:
    gate = Gate("park")
    async with two_hosts(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        ordered = await move(world, server, "resize", new=BIG, settle=False)
        await gate.reached.wait()
        for _ in range(2):
            await cast_move(world, ordered)
        gate.open()

        resized = await settled(world, server.id)
        await world.quiet()

        assert resized.vm is Vm.RESIZED
        assert world.hops("db").count("active/resize_finish -> resized/none") == 1
        assert world.guests() == {server.id: [resized.host]}
        await exact(world, quota=(1, 2, 2048))


async def test_a_confirm_that_fails_leaves_the_server_resized_and_may_be_ordered_again(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, before=Broken("forget_parked", times=1)) as world:
        (server,) = await world.boot()
        await move(world, server, "resize", new=BIG, target=other(world, server.host))

        failed = await confirm(world, server)
        assert (failed.vm, await message(world, server.id)) == (
            Vm.RESIZED,
            f"forget_parked failed for {server.id}: the hypervisor is broken",
        )
        assert parked(world) == {server.id: [server.host]}
        assert await statuses(world, server.id) == ["finished"]
        await exact(world, quota=(1, 2, 2048))

        assert (await confirm(world, server)).vm is Vm.ACTIVE
        assert files_left(world) == []


async def test_a_revert_that_cannot_be_finished_leaves_the_server_in_error_on_its_old_host(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, before=Broken("unpark", times=1)) as world:
        (server,) = await world.boot()
        await move(world, server, "resize", new=BIG, target=other(world, server.host))

        failed = await revert(world, server)

        assert (failed.vm, failed.host, failed.flavor) == (Vm.ERROR, server.host, TINY)
        assert await used(world, other(world, server.host)) == taken()
        await exact(world, quota=(1, 1, 512))
        await _delete(world, failed.id)


async def test_a_deleted_resized_server_leaves_nothing_on_either_host(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await move(world, server, "resize", new=BIG)

        await _delete(world, server.id)


async def _delete(world: Cloud, server_id: str) -> None:
    deleted = await world.order(await world.server(server_id), "delete")
    assert deleted.vm is Vm.DELETED
    await nothing_left(world)
    assert await usage(world) == (0, 0, 0)
