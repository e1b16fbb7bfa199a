"""What a scheduler knows of the hosts, from the tables themselves: whatever was committed before a decision is seen by it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import insert

from novaflow.config import Scheduler
from novaflow.db.aggregates import Aggregates
from novaflow.db.companions import ReadCompanions
from novaflow.db.grouping import GroupForbids
from novaflow.db.host_changes import HostChanges
from novaflow.db.ids import new_uuid
from novaflow.db.schema.aggregates import aggregate_hosts
from novaflow.db.server_groups import ServerGroups
from novaflow.hosts import Host
from novaflow.models import Server, ServerGroup
from novaflow.states import Event
from services.host_states import HostStates
from tests.support.cloud_records import ALICE, NOW, PLENTY, RATIOS, RESOURCES, Records, draft, spec_of, task_of

DOWN_TIME = 60.0


@pytest.fixture
def states(records: Records) -> HostStates:
    settings = Scheduler(filters=("io_ops", "type_affinity"))
    return HostStates(HostChanges(records.database), settings, records.clock, DOWN_TIME)


async def seen(states: HostStates, name: str = "c1") -> Host:
    host = (await states.fresh()).get(name)
    assert host is not None
    return host


async def test_a_host_that_is_new_or_has_changed_is_seen(records: Records, states: HostStates) -> None:
    assert len(await states.fresh()) == 0

    await records.host()
    assert await seen(states) == await records.hosts.get("c1")
    await records.hosts.heartbeat("c1", msgspec.structs.replace(RESOURCES, vcpus=9))
    assert (await seen(states)).resources.vcpus == 9
    await records.hosts.started("c1", RESOURCES, "west")
    assert (await seen(states)).zone == "west"


async def test_claims_and_what_is_given_back_are_seen(records: Records, states: HostStates) -> None:
    await records.host()
    await states.fresh()

    server = await records.placed()
    claimed = await seen(states)
    await records.servers.advance(server.id, task_of(server), Event.RESCHEDULED, host="c1")
    given_back = await seen(states)

    assert (claimed.servers, claimed.vcpus_used, claimed.ram_mb_used, claimed.disk_gb_used) == (1, 1, 512, 1)
    assert (claimed.io_ops, claimed.flavor_ids) == (1, ("1",))
    assert given_back.servers == given_back.ram_mb_used == given_back.io_ops == 0


@pytest.mark.parametrize("how", ["disabled", "forced down"])
async def test_a_service_that_an_administrator_takes_out_is_seen_at_once(
    records: Records, states: HostStates, how: str
) -> None:
    await records.host()
    (service,) = await records.services.all(records.clock.now(), DOWN_TIME)
    assert (await seen(states)).is_up

    if how == "disabled":
        await records.services.set_enabled(service.id, False, "mended")
        assert not (await seen(states)).is_enabled
        await records.services.set_enabled(service.id, True, None)
    else:
        await records.services.set_forced_down(service.id, True)
        assert not (await seen(states)).is_up
        records.clock.advance(timedelta(seconds=DOWN_TIME / 2))
        await records.hosts.heartbeat("c1", RESOURCES)
        assert not (await seen(states)).is_up
        await records.services.set_forced_down(service.id, False)

    host = await seen(states)
    assert (host.is_up, host.is_enabled) == (True, True)


async def test_a_host_lives_by_its_beats_which_change_nothing_else(records: Records, states: HostStates) -> None:
    await records.host()
    await seen(states)
    for _ in range(4):
        records.clock.advance(timedelta(seconds=DOWN_TIME / 2))
        before = await HostChanges(records.database).since(NOW)
        await asyncio.sleep(0.01)
        await records.hosts.heartbeat("c1", RESOURCES)
        assert (await HostChanges(records.database).since(before.at)).hosts == []
        assert (await seen(states)).is_up

    records.clock.advance(timedelta(seconds=DOWN_TIME + 1))
    assert not (await seen(states)).is_up


async def test_a_host_whose_service_is_gone_is_not_chosen_and_is_forgotten(
    records: Records, states: HostStates
) -> None:
    await records.host()
    (service,) = await records.services.all(records.clock.now(), DOWN_TIME)
    await states.fresh()

    await records.services.delete(service.id)

    records.clock.advance(timedelta(seconds=5))
    complete = await states.complete()
    assert complete is not None
    assert len(complete) == 0


async def test_every_change_of_aggregates_is_seen(records: Records, states: HostStates) -> None:
    aggregates = Aggregates(records.database, records.clock)
    for name in ("c1", "c2"):
        await records.host(name)
    await states.fresh()

    async def told(name: str = "c1") -> list[tuple[str, Mapping[str, str]]]:
        records.clock.advance(timedelta(milliseconds=1))
        host = await seen(states, name)
        return [(host.zone, one.metadata) for one in host.aggregates]

    made = await aggregates.create("fast", "west")
    await aggregates.add_host(made.id, "c1", ignore)
    assert await told() == [("west", {})]
    await aggregates.change(made.id, metadata={"ssd": "true"}, check=ignore)
    assert await told() == [("west", {"ssd": "true"})]
    assert await told("c2") == []
    await aggregates.remove_host(made.id, "c1", ignore)
    await aggregates.add_host(made.id, "c2", ignore)
    assert await told() == []
    assert await told("c2") == [("west", {"ssd": "true"})]
    await aggregates.remove_host(made.id, "c2", ignore)
    await aggregates.delete(made.id, ignore)
    assert await told("c2") == []


async def test_hosts_of_the_same_aggregates_share_what_is_known_of_them(records: Records) -> None:
    aggregates = Aggregates(records.database, records.clock)
    first, second = await aggregates.create("a", None), await aggregates.create("b", None)
    rows = [{"aggregate_id": one.id, "host": host} for one in (first, second) for host in ("c1", "c2")]
    await records.database.write(lambda connection: connection.execute(insert(aggregate_hosts), rows))

    found = await HostChanges(records.database).aggregates()

    assert [one.name for one in found["c1"]] == ["a", "b"]
    assert found["c1"] is found["c2"]


def ignore(_: object) -> None:
    """Whatever the change may touch."""


async def members(records: Records, policy: str, count: int, most: int = 1) -> tuple[str, list[Server]]:
    group = ServerGroup(
        id=new_uuid(),
        name="g",
        policy=policy,
        max_server_per_host=most,
        project_id="p1",
        user_id="alice",
        created_at=NOW,
    )
    await ServerGroups(records.database).create(group, PLENTY)
    drafts = [draft(f"web-{n}", group_id=group.id, hints={"group": group.id}) for n in range(count)]
    return group.id, await records.servers.create(ALICE, drafts, PLENTY)


def claiming(records: Records, group_id: str) -> Callable[[Server, str], "asyncio.Future[bool]"]:
    async def claim(server: Server, host: str) -> bool:
        spec = msgspec.structs.replace(spec_of(server), hints={"group": group_id})
        return await records.servers.claim(server.id, task_of(server), host, spec, RATIOS)

    return lambda server, host: asyncio.ensure_future(claim(server, host))


@pytest.mark.parametrize("most", [1, 2])
async def test_of_many_of_a_group_that_want_one_host_no_more_get_it_than_may(records: Records, most: int) -> None:
    await records.host()
    group_id, servers = await members(records, "anti-affinity", 6, most)
    claim = claiming(records, group_id)

    results = await asyncio.gather(*(claim(server, "c1") for server in servers), return_exceptions=True)

    assert results.count(True) == most
    assert {str(one) for one in results if one is not True} == {f"it has {most} of at most {most} servers of the group"}
    assert all(isinstance(one, GroupForbids) for one in results if one is not True)
    assert (await records.used())[0] == most


async def test_of_many_of_a_group_that_want_different_hosts_all_come_to_the_first_ones(records: Records) -> None:
    for name in ("c1", "c2", "c3"):
        await records.host(name)
    group_id, servers = await members(records, "affinity", 6)
    claim = claiming(records, group_id)

    results = await asyncio.gather(
        *(claim(server, f"c{number % 3 + 1}") for number, server in enumerate(servers)), return_exceptions=True
    )

    homes = {(await records.servers.get(server.id)).host for server in servers} - {None}
    assert len(homes) == 1
    assert results.count(True) == 2
    assert sum(isinstance(one, GroupForbids) for one in results) == 4


async def test_a_claim_that_is_repeated_is_not_forbidden_by_itself_and_a_server_that_left_makes_room(
    records: Records,
) -> None:
    await records.host()
    group_id, (first, second) = await members(records, "anti-affinity", 2)
    claim = claiming(records, group_id)

    assert await claim(first, "c1")
    assert await claim(first, "c1")
    await records.servers.advance(first.id, task_of(first), Event.RESCHEDULED, host="c1")
    assert await claim(second, "c1")


async def test_companions_are_where_they_are_now(records: Records) -> None:
    await records.host()
    group_id, (first, second) = await members(records, "anti-affinity", 2)
    read = ReadCompanions(records.database)
    await claiming(records, group_id)(first, "c1")
    spec = msgspec.structs.replace(
        spec_of(second), hints={"group": group_id, "same_host": first.id, "different_host": (second.id, "gone")}
    )

    others = await read(spec, second.id)
    mine = await read(spec, first.id)
    nobodys = await read(spec_of(second), second.id)
    strangers = await read(spec, "nobody")

    assert others.group is not None
    assert (others.group.policy, others.group.servers, others.homes) == ("anti-affinity", {"c1": 1}, {first.id: "c1"})
    assert mine.group is not None
    assert mine.group.servers == {}
    assert (nobodys.group, nobodys.homes, strangers.group) == (None, {}, None)
