"""A boot through the whole cloud."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Compute, Scheduler
from novaflow.models import NETWORKS_HINT, NO_NETWORK, Flavor
from novaflow.states import Event, Vm
from novaflow.virt.driver import GuestSpec
from tests.support import disks
from tests.support.cloud import SERVICE_TOKEN, cloud, settings


async def test_a_boot_ends_active_and_running_on_one_host(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        assert (server.vm, server.task, server.power) == ("active", "", 1)
        assert world.guests() == {server.id: [server.host]}
        assert server.launched_at is not None
        assert [address.network for address in server.addresses] == ["private"]


async def test_a_boot_is_these_messages_and_these_moves(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        await world.boot()

        assert world.hops("publish", "step", "db", "libvirt") == [
            "cast scheduler.build_instances",
            "filter and weigh hosts",
            "claim room on the host",
            "cast compute.build_and_run_instance",
            "call conductor.start_build",
            "building/scheduling -> building/none",
            "call conductor.allocate_network",
            "building/none -> building/networking",
            "call conductor.report_progress",
            "building/networking -> building/block_device_mapping",
            "building/block_device_mapping -> building/spawning",
            "define and start domain",
            "call conductor.report_progress",
            "building/spawning -> active/none",
        ]


async def test_a_server_that_wants_no_network_takes_the_same_way_and_gets_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cloud(tmp_path) as world:
        spawned: list[GuestSpec] = []
        for driver in world.drivers.values():
            monkeypatch.setattr(driver, "spawn", partial(noted, spawned, driver.spawn))

        (server,) = await world.boot(hints={NETWORKS_HINT: NO_NETWORK})

        assert (server.vm, server.addresses) == (Vm.ACTIVE, ())
        assert world.hops("db")[1:] == [
            "building/scheduling -> building/none",
            "building/none -> building/networking",
            "building/networking -> building/block_device_mapping",
            "building/block_device_mapping -> building/spawning",
            "building/spawning -> active/none",
        ]
        (guest,) = spawned
        assert guest.addresses == ()
        assert b'{"links":[],"networks":[],"services":[]}' in guest.config_drive


async def noted(seen: list[GuestSpec], spawn: Callable[[GuestSpec], Awaitable[None]], guest: GuestSpec) -> None:
    seen.append(guest)
    await spawn(guest)


async def test_metadata_is_asked_for_at_every_boot_and_the_bytes_once(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        await world.boot()
        await world.boot()

        assert world.images.calls == [
            ("show", "cirros", "user"),
            ("download", "cirros", "user"),
            ("show", "cirros", "user"),
        ]


async def test_an_image_with_a_kernel_boots_from_its_kernel_and_ramdisk(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.add("kernel", b"\x7fELF kernel", disk_format="aki", container_format="aki")
        world.images.add("ramdisk", b"070701 ramdisk", disk_format="ari", container_format="ari")
        world.images.add(
            "linux", bytes(4096), disk_format="ami", container_format="ami", kernel_id="kernel", ramdisk_id="ramdisk"
        )

        (server,) = await world.boot(image_id="linux")

        assert server.vm is Vm.ACTIVE, server.fault
        fetched = [image_id for what, image_id, _ in world.images.calls if what == "download"]
        assert fetched == ["linux", "kernel", "ramdisk"]


async def test_a_token_that_ended_meanwhile_is_replaced_by_the_services_own(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.tokens = {SERVICE_TOKEN}

        (server,) = await world.boot()

        assert server.vm is Vm.ACTIVE
        assert [token for _, _, token in world.images.calls] == ["user", SERVICE_TOKEN, SERVICE_TOKEN]


async def test_the_same_order_twice_makes_one_guest(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot(settle=False)
        await world.cast_build(server)
        await world.cast_build(server)

        settled = await world.settled(server.id)
        await world.quiet()

        assert world.guests() == {server.id: [settled.host]}
        assert world.hops("libvirt") == ["define and start domain"]
        assert (await world.server(server.id)).vm is Vm.ACTIVE


async def test_a_burst_spreads_evenly(tmp_path: Path) -> None:
    config = settings(compute=Compute(virt="fake", host="c", hosts=4, fake_ram_mb=64_000))
    async with cloud(tmp_path, config) as world:
        servers = await world.boot(40)

        placed = Counter(server.host for server in servers)
        assert set(placed) == {f"c-{n}" for n in range(1, 5)}
        # What is claimed while the hosts are read may count twice until they are read again.
        assert max(placed.values()) - min(placed.values()) <= 2


async def test_a_burst_fills_the_hosts_exactly_and_says_why_the_rest_does_not_fit(tmp_path: Path) -> None:
    config = settings(
        compute=Compute(virt="fake", host="c", hosts=2, fake_ram_mb=2048),
        scheduler=Scheduler(ram_allocation_ratio=1.0),
    )
    async with cloud(tmp_path, config) as world:
        servers = await world.boot(10)

        assert Counter(server.vm for server in servers) == {Vm.ACTIVE: 8, Vm.ERROR: 2}
        assert len(world.guests()) == 8
        (fault, _) = [server.fault for server in servers if server.fault]
        assert fault.code == 500
        assert fault.message == (
            "No valid host was found. There are not enough hosts available. "
            "c-1: ram: 512 MB asked, 0 of 2048 free; c-2: ram: 512 MB asked, 0 of 2048 free"
        )


async def test_an_image_that_is_not_there_is_not_tried_on_another_host(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot(image_id="gone")

        assert server.vm is Vm.ERROR
        assert server.fault is not None
        assert (server.fault.code, server.fault.message) == (404, "Image gone could not be found.")
        assert (server.host, world.guests()) == (None, {})
        assert [call for call in world.images.calls if call[0] == "download"] == []
        assert [(host.servers, host.ram_mb_used) for host in await world.all_hosts()] == [(0, 0), (0, 0)]


async def test_an_image_larger_than_the_flavors_disk_is_refused_in_novas_words(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        facts = world.images.add("large", bytes(512), disk_format="raw")
        world.images.facts["large"] = msgspec.structs.replace(facts, size_bytes=2 * 2**30)

        (server,) = await world.boot(image_id="large", flavor=Flavor(id="1", name="f", vcpus=1, ram_mb=64, disk_gb=1))

        assert server.fault is not None
        assert server.fault.message == (
            "Flavor's disk is too small for requested image. "
            "Flavor disk is 1073741824 bytes, image is 2147483648 bytes."
        )


async def test_an_image_that_is_larger_inside_than_the_flavors_disk_is_refused_and_not_tried_elsewhere(
    tmp_path: Path,
) -> None:
    async with cloud(tmp_path) as world:
        world.images.add("bomb", disks.qcow2(2**60), disk_format="qcow2")

        (server,) = await world.boot(image_id="bomb")

        assert server.vm is Vm.ERROR
        assert server.fault is not None
        assert server.fault.code == 400
        assert server.fault.message == (
            f"Flavor's disk is too small for requested image. Flavor disk is 1073741824 bytes, image is {2**60} bytes."
        )
        assert Event.RESCHEDULED not in [hop.event for hop in world.moves]
        assert world.hops("libvirt") == []
        assert [host.servers for host in await world.all_hosts()] == [0, 0]
