"""The scheduler: choose, record, order."""

import random
from pathlib import Path

import msgspec
import pytest

from novaflow.clock import SystemClock
from novaflow.config import Scheduler as Settings
from novaflow.db.aggregates import Aggregates
from novaflow.db.companions import ReadCompanions
from novaflow.db.host_changes import Changes, HostChanges
from novaflow.db.ids import new_uuid
from novaflow.db.server_groups import ServerGroups
from novaflow.db.services import Services
from novaflow.errors import Invalid, NoValidHost, ServiceUnavailable
from novaflow.messages import SELECT_DESTINATIONS, BuildInstance, DestinationsAsk
from novaflow.models import RequestSpec, ServerGroup
from novaflow.quotas import QuotaLimits
from novaflow.states import Event, Vm
from rpc.tracing import Tracer
from services.host_states import HostStates
from services.move_placing import MovePlacing
from services.placer import Placer
from services.scheduler import DatabaseAway, Scheduler
from tests.support.cloud import TINY, USER, Cloud, cloud, settings
from tests.support.hosts import RESOURCES, listening

# Hosts that only listen do not beat.
LASTING = settings(compute=msgspec.structs.replace(settings().compute, service_down_time=60.0))


async def test_a_build_is_claimed_and_then_ordered_of_the_emptiest_host(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1", "c2") as heard:
        (first,) = await world.boot(settle=False)
        await world.quiet()
        (second,) = await world.boot(settle=False)
        await world.quiet()

        assert [(method, ask.server_id) for _, method, ask in heard] == [("build", first.id), ("build", second.id)]
        assert {host for host, _, _ in heard} == {"c1", "c2"}
        assert [(host.servers, host.ram_mb_used) for host in await world.all_hosts()] == [(1, 512), (1, 512)]
        assert (await world.server(first.id)).host == heard[0][0]


async def test_a_server_that_fits_nowhere_ends_in_error_and_says_why(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1") as heard:
        (server,) = await world.boot(availability_zone="west")

        assert server.vm is Vm.ERROR
        assert server.fault is not None
        assert server.fault.message.endswith("c1: availability_zone: zone west asked, the host is in nova")
        assert heard == []


async def test_without_any_host_the_fault_says_that(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world:
        (server,) = await world.boot()

        assert server.fault is not None
        assert server.fault.message.endswith("There is no host at all.")


async def test_an_order_that_comes_again_goes_to_the_same_host_and_claims_nothing_more(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1", "c2", "c3") as heard:
        (server,) = await world.boot(settle=False)
        for _ in range(3):
            await world.cast_build(server)
        await world.quiet()

        assert len(heard) == 4
        assert len({host for host, _, _ in heard}) == 1
        assert sum(host.servers for host in await world.all_hosts()) == 1


async def test_an_order_that_comes_again_when_it_has_taken_the_last_room_itself_keeps_that(tmp_path: Path) -> None:
    config = settings(compute=LASTING.compute, scheduler=Settings(ram_allocation_ratio=1.0))
    async with cloud(tmp_path, config, services=["scheduler"]) as world, listening(world, "c1") as heard:
        (server,) = await world.boot(settle=False, flavor=msgspec.structs.replace(TINY, ram_mb=RESOURCES.ram_mb))
        await world.quiet()
        await world.cast_build(server)
        await world.quiet()

        assert [(host, ask.server_id) for host, _, ask in heard] == [("c1", server.id)] * 2
        assert (await world.server(server.id)).state == server.state
        assert [host.servers for host in await world.all_hosts()] == [1]


async def test_a_build_whose_server_was_deleted_is_dropped(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1") as heard:
        world.bus_is_cut = True
        (server,) = await world.boot(settle=False)
        assert await world.servers.delete_unplaced(USER, server)
        world.bus_is_cut = False

        await world.cast_build(server)
        await world.quiet()

        assert heard == []
        assert [host.servers for host in await world.all_hosts()] == [0]


async def test_a_host_that_nobody_serves_is_passed_over_and_left_free(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1") as heard:
        large = msgspec.structs.replace((await world.all_hosts())[0].resources, ram_mb=16384)
        await world.hosts.started("a-ghost", large, "nova")

        (server,) = await world.boot(settle=False)
        await world.quiet()

        assert [host for host, _, _ in heard] == ["c1"]
        assert [(host.name, host.servers) for host in await world.all_hosts()] == [("a-ghost", 0), ("c1", 1)]
        assert Event.RESCHEDULED in {span.attributes.get("event") for span in world.spans.all}
        assert (await world.server(server.id)).host == "c1"


async def test_with_no_host_but_one_that_nobody_serves_the_build_ends_with_that_reason(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world:
        await world.hosts.started("ghost", RESOURCES, "nova")

        (server,) = await world.boot()

        assert server.fault is not None
        assert server.fault.message.endswith("ghost: compute: no queue takes its messages")
        assert [host.servers for host in await world.all_hosts()] == [0]


async def test_a_forced_host_that_is_full_is_refused_by_its_claim(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1", "c2"):
        flavor = msgspec.structs.replace(TINY, ram_mb=100_000)

        (server,) = await world.boot(force_host="c1", flavor=flavor)

        assert server.fault is not None
        assert server.fault.message.endswith("c1: claim: it has not enough room left")


async def test_servers_of_an_anti_affinity_group_that_are_built_at_once_keep_apart(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1", "c2", "c3"):
        made = await grouped(world, "anti-affinity")
        servers = await world.boot(4, settle=False, group_id=made, hints={"group": made})
        await world.quiet()

        placed = [await world.server(server.id) for server in servers]
        assert sorted(server.host or "nowhere" for server in placed) == ["c1", "c2", "c3", "nowhere"]
        (failed,) = [server for server in placed if server.fault]
        assert failed.fault is not None
        assert "c1: server_group_anti_affinity: it has 1 of at most 1 servers of the group" in failed.fault.details


async def test_servers_of_an_affinity_group_that_are_built_at_once_stay_together(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1", "c2", "c3"):
        made = await grouped(world, "affinity")
        servers = await world.boot(4, settle=False, group_id=made, hints={"group": made})
        await world.quiet()

        hosts = [(await world.server(server.id)).host for server in servers]
        assert hosts[0] is not None
        assert hosts == hosts[:1] * 4


async def grouped(world: Cloud, policy: str) -> str:
    """A group of the user's, without servers yet."""
    now = SystemClock().now()
    group = ServerGroup(id=new_uuid(), name="g", policy=policy, project_id="p", user_id="u", created_at=now)
    return (await ServerGroups(world.database).create(group, QuotaLimits())).id


async def test_a_host_may_be_oversold_by_its_aggregates_ratio(tmp_path: Path) -> None:
    config = settings(
        compute=LASTING.compute, scheduler=Settings(filters=("aggregate_core", "ram"), cpu_allocation_ratio=1.0)
    )
    async with cloud(tmp_path, config, services=["scheduler"]) as world, listening(world, "c1") as heard:
        aggregates = Aggregates(world.database, SystemClock())
        made = await aggregates.create("crowded", None)
        await aggregates.add_host(made.id, "c1", lambda _: None)
        await aggregates.change(made.id, metadata={"cpu_allocation_ratio": "2"}, check=lambda _: None)

        large = msgspec.structs.replace(TINY, vcpus=RESOURCES.vcpus)
        servers = await world.boot(3, settle=False, flavor=large)
        await world.quiet()

        assert [host for host, _, _ in heard] == ["c1", "c1"]
        faults = [server.fault for server in [await world.server(one.id) for one in servers] if server.fault]
        assert [fault.details for fault in faults] == ["c1: aggregate_core: 8 vCPUs asked, 0 of 16 free"]


async def test_a_user_may_ask_for_the_host_of_another_server_or_for_any_but_that(tmp_path: Path) -> None:
    config = settings(compute=LASTING.compute, scheduler=Settings(filters=("same_host", "different_host")))
    async with cloud(tmp_path, config, services=["scheduler"]) as world, listening(world, "c1", "c2"):
        (first,) = await world.boot(settle=False)
        await world.quiet()
        (near,) = await world.boot(settle=False, hints={"same_host": first.id})
        (far,) = await world.boot(settle=False, hints={"different_host": (first.id,)})
        await world.quiet()

        hosts = [(await world.server(server.id)).host for server in (first, near, far)]
        assert hosts[0] == hosts[1] != hosts[2]


async def test_when_the_database_is_away_the_order_must_come_again(tmp_path: Path) -> None:
    class Away(HostChanges):
        async def all(self) -> Changes:
            raise ServiceUnavailable(service="database", reason="it did not answer in time")

    async with cloud(tmp_path, services=[]) as world:
        (server,) = await world.boot(settle=False)
        assert server.task_id
        tracer = Tracer("nova-scheduler", world.spans)
        states = HostStates(Away(world.database), world.config.scheduler, SystemClock(), 60.0)
        companions = ReadCompanions(world.database)
        placer = Placer(states, companions, world.config.scheduler, tracer, random.Random(1))
        moves = MovePlacing(world.bus, world.servers, placer, same_host=True)
        scheduler = Scheduler(world.bus, world.servers, placer, moves)
        spec = await world.servers.spec(server.id)
        order = BuildInstance(context=USER, server_id=server.id, task_id=server.task_id, spec=spec)

        with pytest.raises(DatabaseAway):
            await scheduler.build_instances(order)

        assert (await world.server(server.id)).state == server.state


async def test_the_scheduler_says_that_it_lives(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world:
        records = Services(world.database, SystemClock())

        async def is_listed() -> bool:
            found = await records.all(SystemClock().now(), 60.0)
            return [(record.binary, record.zone, record.is_up) for record in found] == [
                ("nova-scheduler", "internal", True)
            ]

        await world.until(is_listed)


async def test_a_filter_that_does_not_exist_keeps_the_scheduler_from_starting(tmp_path: Path) -> None:
    config = settings(compute=LASTING.compute, scheduler=Settings(filters=("ram", "moon")))

    with pytest.raises(ExceptionGroup) as refused:
        await cloud(tmp_path, config, services=["scheduler"]).__aenter__()

    (error,) = refused.value.exceptions
    assert isinstance(error, Invalid)
    assert "there is no filter 'moon'" in str(error)


async def test_destinations_are_told_and_nothing_is_claimed(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1", "c2"):
        spec = RequestSpec(project_id="p", user_id="u", flavor=TINY)

        both = await world.bus.call(SELECT_DESTINATIONS, DestinationsAsk(spec=spec, num_instances=2))
        one = await world.bus.call(SELECT_DESTINATIONS, DestinationsAsk(spec=spec, ignore_hosts=("c1",)))

        assert sorted(both.hosts) == ["c1", "c2"]
        assert one.hosts == ("c2",)
        assert [(host.servers, host.ram_mb_used) for host in await world.all_hosts()] == [(0, 0), (0, 0)]


async def test_destinations_that_are_not_there_are_an_error_with_every_hosts_reason(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1"):
        spec = RequestSpec(project_id="p", user_id="u", flavor=msgspec.structs.replace(TINY, disk_gb=1000))

        with pytest.raises(NoValidHost) as caught:
            await world.bus.call(SELECT_DESTINATIONS, DestinationsAsk(spec=spec))

        assert caught.value.refusals["c1"].startswith("disk: ")


async def test_a_number_of_destinations_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async with cloud(tmp_path, LASTING, services=["scheduler"]) as world, listening(world, "c1"):
        spec = RequestSpec(project_id="p", user_id="u", flavor=TINY)

        for number in (0, -1, 101):
            with pytest.raises(Invalid, match=f"num_instances: {number} is not between 1 and 100"):
                await world.bus.call(SELECT_DESTINATIONS, DestinationsAsk(spec=spec, num_instances=number))
