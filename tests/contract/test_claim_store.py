"""Room on hosts: claimed by many at once, never twice, never more than there is."""

import asyncio

import msgspec
import pytest

from novaflow.errors import NotFound, TaskSuperseded
from novaflow.hosts import HostResources
from novaflow.models import Flavor, Server
from novaflow.states import Event
from tests.support.cloud_records import PLENTY, RATIOS, RESOURCES, Records, draft, request, spec_of, task_of

LARGE = Flavor(id="l", name="large", vcpus=8, ram_mb=1024, disk_gb=10, ephemeral_gb=5, swap_mb=1500)


async def claim(records: Records, server: Server, host: str = "c1") -> bool:
    return await records.servers.claim(server.id, task_of(server), host, spec_of(server), RATIOS)


async def test_a_claim_takes_what_the_flavor_says(records: Records) -> None:
    await records.host()
    server = await records.made(flavor=LARGE)

    assert await claim(records, server)

    assert await records.used() == (1, 8, 1024, 17)
    placed = await records.servers.get(server.id)
    assert (placed.host, placed.availability_zone) == ("c1", "nova")


async def test_a_full_host_refuses_and_nothing_is_changed(records: Records) -> None:
    await records.host()
    await records.placed(flavor=LARGE)
    server = await records.made()

    assert await claim(records, server) is False

    assert await records.servers.get(server.id) == server
    assert await records.used() == (1, 8, 1024, 17)


@pytest.mark.parametrize("scarce", ["vcpus", "ram_mb", "disk_gb"])
async def test_every_resource_counts(records: Records, scarce: str) -> None:
    await records.host("c1", msgspec.structs.replace(RESOURCES, **{scarce: 0}))

    assert await claim(records, await records.made()) is False


async def test_allocation_ratios_stretch_a_host(records: Records) -> None:
    await records.host("c1", HostResources(vcpus=1, ram_mb=8192, disk_gb=100))
    first, second, third = [await records.made(name=name) for name in ("a", "b", "c")]
    ratios = msgspec.structs.replace(RATIOS, cpu_allocation_ratio=2.0)

    results = [
        await records.servers.claim(server.id, task_of(server), "c1", spec_of(server), ratios)
        for server in (first, second, third)
    ]

    assert results == [True, True, False]


async def test_an_unknown_host_has_no_room(records: Records) -> None:
    assert await claim(records, await records.made(), "nowhere") is False


async def test_a_repeated_claim_is_the_same_claim(records: Records) -> None:
    await records.host()
    await records.host("c2")
    server = await records.made()

    assert [await claim(records, server), await claim(records, server)] == [True, True]
    with pytest.raises(TaskSuperseded):
        await claim(records, server, "c2")

    assert await records.used("c1") == (1, 1, 512, 1)
    assert await records.used("c2") == (0, 0, 0, 0)


async def test_of_many_that_want_the_last_slot_one_gets_it(records: Records) -> None:
    await records.host("c1", HostResources(vcpus=1, ram_mb=512, disk_gb=1))
    servers = [await records.made(name=f"web-{index}") for index in range(12)]

    results = await asyncio.gather(*(claim(records, server) for server in servers))

    assert sorted(results) == [False] * 11 + [True]
    assert await records.used() == (1, 1, 512, 1)


async def test_two_schedulers_put_one_server_on_one_host(records: Records) -> None:
    hosts = [await records.host(f"c{index}") for index in range(6)]
    server = await records.made()

    results = await asyncio.gather(*(claim(records, server, host) for host in hosts), return_exceptions=True)

    assert [result for result in results if result is True] == [True]
    assert sum(isinstance(result, TaskSuperseded) for result in results) == 5
    assert sum([(await records.used(host))[0] for host in hosts]) == 1


@pytest.mark.parametrize("attempt", range(6))
async def test_a_delete_that_races_with_a_claim_leaves_nothing_behind(records: Records, attempt: int) -> None:
    await records.host()
    server = await records.made()

    async def delete() -> bool:
        await asyncio.sleep(0 if attempt % 2 else 0.001 * attempt)
        return await records.servers.delete_unplaced(request(2), server)

    claimed, deleted = await asyncio.gather(claim(records, server), delete(), return_exceptions=True)

    if deleted is True:
        assert isinstance(claimed, TaskSuperseded) or claimed is True
        assert await records.used() == (0, 0, 0, 0)
    else:
        assert (claimed, deleted) == (True, False)
        assert await records.used() == (1, 1, 512, 1)
    assert (await records.quotas.usage("p1", "alice")).instances == (0 if deleted is True else 1)


async def test_a_rescheduled_server_frees_its_host_once(records: Records) -> None:
    await records.host()
    server = await records.spawning()

    for _ in range(2):
        state = await records.servers.advance(server.id, task_of(server), Event.RESCHEDULED, host="c1")
        assert str(state) == "building/scheduling"

    assert await records.used() == (0, 0, 0, 0)
    assert (await records.servers.get(server.id)).host is None


async def test_a_late_report_from_the_former_host_does_not_move_the_server(records: Records) -> None:
    await records.host()
    await records.host("c2")
    server = await records.spawning()
    await records.servers.advance(server.id, task_of(server), Event.RESCHEDULED, host="c1")
    assert await claim(records, server, "c2")
    await records.servers.start_build(server.id, task_of(server), "c2")

    again = await records.servers.advance(server.id, task_of(server), Event.RESCHEDULED, host="c1")

    assert str(again) == "building/none"
    with pytest.raises(TaskSuperseded):
        await records.servers.advance(server.id, task_of(server), Event.SPAWNED, host="c1")
    assert await records.used("c2") == (1, 1, 512, 1)


async def test_reports_of_two_workers_for_one_task_are_recorded_once(records: Records) -> None:
    await records.host()
    server = await records.spawning()

    states = await asyncio.gather(
        *(records.servers.advance(server.id, task_of(server), Event.SPAWNED, host="c1") for _ in range(8))
    )

    assert {str(state) for state in states} == {"active/none"}
    assert [event for event, _ in await records.history(server.id)].count(Event.SPAWNED) == 1
    assert [step.event for step in records.told].count(Event.SPAWNED) == 1


async def test_a_host_that_starts_counts_its_servers_again(records: Records) -> None:
    await records.host()
    await records.active(flavor=LARGE)
    gone = await records.made(name="gone")
    await records.servers.delete_unplaced(request(2), gone)
    before = await records.hosts.get("c1")

    await records.hosts.started("c1", msgspec.structs.replace(RESOURCES, vcpus=99), "az2")

    after = await records.hosts.get("c1")
    assert (after.id, after.resources.vcpus, after.availability_zone) == (before.id, 99, "az2")
    assert await records.used() == (1, 8, 1024, 17)


async def test_counting_again_is_right_while_servers_come_and_go(records: Records) -> None:
    await records.host("c1", HostResources(vcpus=1000, ram_mb=1_000_000, disk_gb=1000))
    leaving = [await records.placed(name=f"old-{index}") for index in range(8)]
    coming = [await records.made(name=f"new-{index}") for index in range(8)]

    await asyncio.gather(
        *(records.servers.delete_locally(request(2), server) for server in leaving),
        *(claim(records, server) for server in coming),
        *(records.hosts.reconcile("c1") for _ in range(6)),
    )

    assert await records.used() == (8, 8, 4096, 8)


async def test_hosts_say_whether_they_live_and_take_servers(records: Records) -> None:
    await records.host("c1")
    await records.host("c2")
    service = next(found for found in await records.services.all(records.clock.now(), 60) if found.host == "c1")
    await records.services.set_enabled(service.id, is_enabled=False, reason="broken fan")
    await records.clock.sleep(61)
    await records.hosts.heartbeat("c1", RESOURCES)

    c1, c2 = await records.hosts.all(records.clock.now(), 60)

    assert (c1.is_up, c1.is_enabled, c2.is_up, c2.is_enabled) == (True, False, False, True)
    assert (await records.hosts.statistics()).count == 1


async def test_a_host_is_found_by_its_id_and_by_its_name(records: Records) -> None:
    await records.host()
    found = await records.hosts.get("c1")

    assert await records.hosts.get(found.id) == found
    assert found.resources == RESOURCES
    with pytest.raises(NotFound):
        await records.hosts.get("c2")


async def test_a_host_that_beats_for_the_first_time_many_times_at_once_is_one_host(records: Records) -> None:
    await asyncio.gather(*(records.hosts.heartbeat("c1", RESOURCES) for _ in range(8)))

    assert [host.name for host in await records.hosts.all(records.clock.now(), 60)] == ["c1"]
    assert len(await records.services.all(records.clock.now(), 60)) == 1


async def test_drafts_of_different_sizes_are_counted_each(records: Records) -> None:
    await records.servers.create(request(1), [draft("a"), draft("b", flavor=LARGE)], PLENTY)

    usage = await records.quotas.usage("p1", "alice")
    assert (usage.instances, usage.cores, usage.ram) == (2, 9, 1536)
