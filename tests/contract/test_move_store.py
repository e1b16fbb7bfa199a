"""Moves in the database: two claims at a time, handed over and back, and nothing left of either when it is over."""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novaflow.db import accompaniments
from novaflow.db.moving import EVACUATION, LIVE, MIGRATION, RESIZE
from novaflow.errors import IllegalTransition, Invalid, NotFound, TaskSuperseded, WrongState
from novaflow.hosts import HostResources
from novaflow.models import Flavor, Server
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import MOVES, Event, Power, Vm
from novaflow.tasks import Migration
from tests.support.cloud_records import ALICE, PLENTY, RATIOS, RESOURCES, TINY, Records, request, task_of

WIDE: Final = Flavor(id="w", name="wide", vcpus=4, ram_mb=256, disk_gb=10)  # more of one thing, less of another
ROOMY: Final = HostResources(vcpus=10_000, ram_mb=10_000_000, disk_gb=100_000)
NOTHING: Final = (0, 0, 0, 0)
OF_TINY: Final = (1, 1, 512, 1)
OF_WIDE: Final = (1, 4, 256, 10)
RESIZING: Final = (Event.RESIZE_MIGRATING, Event.RESIZE_MIGRATED, Event.RESIZE_FINISHING, Event.RESIZED)
_KINDS: Final = {
    RESIZE: Event.RESIZE_ORDERED,
    MIGRATION: Event.RESIZE_ORDERED,
    LIVE: Event.LIVE_MIGRATION_ORDERED,
    EVACUATION: Event.EVACUATE_ORDERED,
}


async def ordered(records: Records, server: Server, kind: str = RESIZE, limits: QuotaLimits = PLENTY) -> Server:
    """A server whose move was accepted."""
    accompany = accompaniments.of_move(kind, limits, new=WIDE if kind == RESIZE else None)
    seen = await records.servers.get(server.id)
    return await records.servers.order(request(2), seen, kind, _KINDS[kind], accompany=accompany)


async def claim(records: Records, server: Server, host: str = "c2") -> bool:
    return await records.servers.claim_move(server.id, task_of(server), host, RATIOS)


async def events(records: Records, server: Server, *happened: Event) -> Server:
    """Each event, reported by the task that owns the server now."""
    for event in happened:
        now = await records.servers.get(server.id, deleted=True)
        await records.servers.advance(server.id, task_of(now), event)
    return await records.servers.get(server.id, deleted=True)


async def resized(records: Records) -> Server:
    """A server that was resized from c1 to c2 and is not confirmed."""
    server = await ordered(records, await records.active())
    assert await claim(records, server)
    return await events(records, server, *RESIZING)


async def settle(records: Records, server: Server, event: Event) -> Server:
    """A confirm or a revert is accepted."""
    seen = await records.servers.get(server.id)
    accompany = accompaniments.of_settled_resize()
    return await records.servers.order(request(3), seen, "end", event, accompany=accompany)


async def used(records: Records) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    return await records.used("c1"), await records.used("c2")


async def usage(records: Records) -> tuple[int, int]:
    found: Usage = await records.quotas.usage("p1", "alice")
    return found.cores, found.ram


async def move_of(records: Records, server: Server) -> Migration:
    found = await records.servers.migration(server.id)
    assert found is not None
    return found


@pytest.fixture
async def hosts(records: Records) -> Records:
    """Two hosts."""
    await records.host("c1")
    await records.host("c2")
    return records


async def test_a_resize_reserves_the_larger_of_each_resource(hosts: Records) -> None:
    server = await hosts.active()
    assert await usage(hosts) == (1, 512)

    await ordered(hosts, server)

    assert await usage(hosts) == (4, 512)
    assert await hosts.quotas.reconcile() == []


async def test_a_resize_beyond_the_quota_has_not_happened(hosts: Records) -> None:
    server = await hosts.active()

    with pytest.raises(Exception, match="Quota exceeded for cores"):
        await ordered(hosts, server, limits=QuotaLimits(cores=3))

    assert await hosts.servers.get(server.id) == server
    assert await hosts.servers.migration(server.id) is None
    assert await usage(hosts) == (1, 512)


async def test_a_move_claims_room_for_what_the_server_will_be(hosts: Records) -> None:
    server = await ordered(hosts, await hosts.active())

    assert [await claim(hosts, server), await claim(hosts, server)] == [True, True]

    assert await used(hosts) == (OF_TINY, OF_WIDE)
    move = await move_of(hosts, server)
    assert (move.status, move.source_host, move.dest_host, move.claim_host) == ("pre-migrating", "c1", "c2", "c2")


async def test_a_move_has_one_claim_until_it_is_given_back(hosts: Records) -> None:
    await hosts.host("c3")
    server = await ordered(hosts, await hosts.active())
    assert await claim(hosts, server)

    with pytest.raises(TaskSuperseded):
        await claim(hosts, server, "c3")
    await hosts.servers.unclaim_move(server.id, task_of(server), "c2")
    await hosts.servers.unclaim_move(server.id, task_of(server), "c2")
    assert await used(hosts) == (OF_TINY, NOTHING)

    assert await claim(hosts, server, "c3")
    assert await hosts.used("c3") == OF_WIDE


async def test_a_full_host_takes_no_move(records: Records) -> None:
    await records.host("c1")
    await records.host("c2", msgspec.structs.replace(RESOURCES, vcpus=3))
    server = await ordered(records, await records.active())

    assert await claim(records, server) is False

    assert (await move_of(records, server)).claim_host is None
    assert await used(records) == (OF_TINY, NOTHING)


async def test_of_schedulers_that_claim_for_one_move_one_does(records: Records) -> None:
    for index in range(1, 7):
        await records.host(f"c{index}")
    server = await ordered(records, await records.active())

    results = await asyncio.gather(
        *(claim(records, server, f"c{index}") for index in range(2, 7)), return_exceptions=True
    )

    assert [result for result in results if result is True] == [True]
    assert sum(isinstance(result, TaskSuperseded) for result in results) == 4
    assert sum([(await records.used(f"c{index}"))[0] for index in range(2, 7)]) == 1


async def test_of_many_moves_that_want_the_last_room_one_gets_it(records: Records) -> None:
    await records.host("c1")
    await records.host("c2", HostResources(vcpus=4, ram_mb=256, disk_gb=10))
    servers = [await ordered(records, await records.active(name=f"web-{index}")) for index in range(6)]

    results = await asyncio.gather(*(claim(records, server) for server in servers))

    assert sorted(results) == [False] * 5 + [True]
    assert await records.used("c2") == OF_WIDE


async def test_a_server_that_is_handed_over_takes_of_both_hosts_what_it_took(hosts: Records) -> None:
    server = await ordered(hosts, await hosts.active())
    assert await claim(hosts, server)
    before = await used(hosts)

    moved = await events(hosts, server, Event.RESIZE_MIGRATING, Event.RESIZE_MIGRATED)

    assert (moved.host, moved.flavor) == ("c2", WIDE)
    assert await used(hosts) == before
    assert (await move_of(hosts, server)).claim_host == "c1"


async def test_a_server_that_is_handed_back_takes_nothing_of_the_destination(hosts: Records) -> None:
    server = await ordered(hosts, await hosts.active())
    assert await claim(hosts, server)

    back = await events(hosts, server, *RESIZING[:3], Event.RESIZE_ROLLED_BACK)

    assert (back.host, back.flavor, str(back.state)) == ("c1", TINY, "active/resize_migrating")
    assert await used(hosts) == (OF_TINY, NOTHING)
    assert await usage(hosts) == (4, 512)
    await events(hosts, server, Event.FAILED)
    assert await usage(hosts) == (1, 512)


async def test_a_server_is_not_handed_over_to_a_host_that_holds_no_room_for_it(hosts: Records) -> None:
    server = await ordered(hosts, await hosts.active())
    assert await claim(hosts, server)
    await hosts.servers.unclaim_move(server.id, task_of(server), "c2")
    await events(hosts, server, Event.RESIZE_MIGRATING)

    with pytest.raises(TaskSuperseded):
        await events(hosts, server, Event.RESIZE_MIGRATED)

    assert (await hosts.servers.get(server.id)).host == "c1"
    assert await used(hosts) == (OF_TINY, NOTHING)


async def test_a_move_that_has_begun_is_not_placed_again(hosts: Records) -> None:
    server = await ordered(hosts, await hosts.active())
    assert await claim(hosts, server)
    await events(hosts, server, Event.RESIZE_MIGRATING)

    for attempt in (claim(hosts, server), hosts.servers.unclaim_move(server.id, task_of(server), "c2")):
        with pytest.raises(TaskSuperseded):
            await attempt
    assert await used(hosts) == (OF_TINY, OF_WIDE)


async def test_a_confirmed_resize_gives_the_source_back_and_a_reverted_one_the_destination(hosts: Records) -> None:
    server = await resized(hosts)
    await settle(hosts, server, Event.CONFIRM_ORDERED)
    assert (await move_of(hosts, server)).status == "confirming"
    await events(hosts, server, Event.CONFIRMED)
    assert await used(hosts) == (NOTHING, OF_WIDE)
    assert await usage(hosts) == (4, 256)

    other = await resized(hosts)
    await settle(hosts, other, Event.REVERT_ORDERED)
    assert (await move_of(hosts, other)).status == "reverting"
    await events(hosts, other, Event.REVERT_CLEARED, Event.REVERT_CLEARED)
    assert await used(hosts) == (OF_TINY, OF_WIDE)
    await events(hosts, other, Event.REVERTED)
    assert await usage(hosts) == (5, 768)
    assert await hosts.quotas.reconcile() == []


async def test_a_confirm_that_failed_leaves_both_claims(hosts: Records) -> None:
    server = await resized(hosts)
    await settle(hosts, server, Event.CONFIRM_ORDERED)

    after = await events(hosts, server, Event.FAILED)

    assert after.vm is Vm.RESIZED
    assert (await move_of(hosts, server)).status == "finished"
    assert await used(hosts) == (OF_TINY, OF_WIDE)


async def test_a_live_migration_is_one_step(hosts: Records) -> None:
    server = await ordered(hosts, await hosts.active(), LIVE)
    assert await claim(hosts, server)
    assert await used(hosts) == (OF_TINY, OF_TINY)

    moved = await events(hosts, server, Event.LIVE_MIGRATED)

    assert (moved.host, moved.vm, moved.task_id) == ("c2", Vm.ACTIVE, None)
    assert await used(hosts) == (NOTHING, OF_TINY)
    assert await hosts.servers.migration(server.id) is None


@pytest.mark.parametrize("end", [Event.FAILED, Event.BROKEN])
async def test_an_evacuation_that_fails_after_all_leaves_the_server_on_its_dead_host(
    hosts: Records, end: Event
) -> None:
    server = await ordered(hosts, await hosts.active(), EVACUATION)
    assert await claim(hosts, server)
    placed = await events(hosts, server, Event.EVACUATION_PLACED, Event.EVACUATION_PLACED)
    assert (placed.host, await used(hosts)) == ("c2", (OF_TINY, OF_TINY))

    after = await events(hosts, server, end)

    assert (after.host, await used(hosts)) == ("c1", (OF_TINY, NOTHING))


@pytest.mark.parametrize("steps", range(5))
async def test_an_administrators_word_ends_a_resize_where_the_disk_is(hosts: Records, steps: int) -> None:
    server = await ordered(hosts, await hosts.active())
    assert await claim(hosts, server)
    now = await events(hosts, server, *RESIZING[:steps])

    await hosts.servers.reset(ALICE, now, Event.RESET_TO_ACTIVE)

    after = await hosts.servers.get(server.id)
    stays = steps < len(RESIZING)  # a resized server has its disk where it is
    assert (after.host, after.flavor) == (("c1", TINY) if stays else ("c2", WIDE))
    assert await used(hosts) == ((OF_TINY, NOTHING) if stays else (NOTHING, OF_WIDE))
    assert await hosts.quotas.reconcile() == []


@pytest.mark.parametrize("locally", [False, True])
@pytest.mark.parametrize("kind", list(_KINDS))
@pytest.mark.parametrize("steps", range(6))
async def test_a_delete_gives_back_all_that_a_moving_server_had(
    hosts: Records, kind: str, steps: int, *, locally: bool
) -> None:
    server = await ordered(hosts, await hosts.active(), kind)
    ways = {
        RESIZE: RESIZING,
        MIGRATION: RESIZING,
        LIVE: (Event.LIVE_MIGRATED,),
        EVACUATION: (Event.EVACUATION_PLACED, Event.REBUILD_DEVICES_WANTED, Event.REBUILD_SPAWN_STARTED, Event.REBUILT),
    }
    if steps:
        assert await claim(hosts, server)
    now = await events(hosts, server, *ways[kind][: max(steps - 1, 0)])

    if locally:
        await hosts.servers.delete_locally(request(4), now)
    else:
        await hosts.servers.order(request(4), now, "delete", Event.DELETE_ORDERED)
        await events(hosts, now, Event.DELETED)

    assert await used(hosts) == (NOTHING, NOTHING)
    assert await usage(hosts) == (0, 0)
    assert await hosts.servers.migration(server.id) is None


async def test_a_delete_that_fails_ends_the_move_too(hosts: Records) -> None:
    server = await resized(hosts)
    await hosts.servers.order(request(4), server, "delete", Event.DELETE_ORDERED)

    failed = await events(hosts, server, Event.FAILED)

    assert (failed.vm, failed.host) == (Vm.ERROR, "c2")
    assert await used(hosts) == (NOTHING, OF_WIDE)
    assert await usage(hosts) == (4, 256)
    assert await hosts.servers.migration(server.id) is None


async def test_counting_again_is_right_while_servers_move(records: Records) -> None:
    for name in ("c1", "c2"):
        await records.host(name, ROOMY)
    servers = [await ordered(records, await records.active(name=f"web-{index}")) for index in range(8)]

    async def through(server: Server) -> None:
        assert await claim(records, server)
        await events(records, server, *RESIZING)
        await settle(records, server, Event.CONFIRM_ORDERED)
        await events(records, server, Event.CONFIRMED)

    async def count() -> list[bool]:
        return [await records.hosts.reconcile(name) for _ in range(10) for name in ("c1", "c2")]

    *_, first, second = await asyncio.gather(*(through(server) for server in servers), count(), count())

    assert [first, second] == [[False] * 20] * 2
    assert await used(records) == (NOTHING, (8, 32, 2048, 80))


_REPORTED: Final = tuple(
    event for event in Event if not event.value.endswith("_ordered") and event.value[:5] != "reset"
)
_STEPS: Final = st.one_of(
    st.sampled_from(list(_KINDS)),
    st.sampled_from(["claim c1", "claim c2", "claim c3", "unclaim", "confirm", "revert", "delete", "reset", "stop"]),
    st.sampled_from(_REPORTED),
    st.integers(0, 9),  # one of the events that may happen now
    st.integers(0, 9),
)


async def _step(records: Records, server_id: str, step: str | Event | int) -> None:
    now = await records.servers.get(server_id, deleted=True)
    task_id = now.task_id or "none"
    if isinstance(step, int):
        may_happen = [event for event in _REPORTED if (now.state, event) in MOVES] or [Event.FAILED]
        step = may_happen[step % len(may_happen)]
    if isinstance(step, Event):
        await records.servers.advance(server_id, task_id, step, power=Power.RUNNING)
    elif step.startswith("claim "):
        await records.servers.claim_move(server_id, task_id, step.removeprefix("claim "), RATIOS)
    elif step == "unclaim":
        move = await records.servers.migration(server_id)
        await records.servers.unclaim_move(server_id, task_id, (move and move.claim_host) or "c2")
    elif step == "reset":
        await records.servers.reset(ALICE, now, Event.RESET_TO_ERROR)
    elif step in _KINDS:
        await ordered(records, now, step)
    else:
        await _order(records, now, step)


async def _order(records: Records, now: Server, action: str) -> None:
    match action:
        case "confirm":
            await settle(records, now, Event.CONFIRM_ORDERED)
        case "revert":
            await settle(records, now, Event.REVERT_ORDERED)
        case "delete":
            await records.servers.order(request(5), now, "delete", Event.DELETE_ORDERED)
        case _:
            await records.servers.order(request(5), now, "stop", Event.STOP_ORDERED)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(_STEPS, min_size=3, max_size=20))
async def test_whatever_happens_to_a_server_the_counters_are_what_is_there(
    records: Records, steps: list[str | Event | int]
) -> None:
    for name in ("c1", "c2", "c3"):
        await records.host(name, ROOMY)
    server = await records.active()

    for step in steps:
        with suppress(TaskSuperseded, IllegalTransition, WrongState, Invalid, NotFound):
            await _step(records, server.id, step)
        wrong = [name for name in ("c1", "c2", "c3") if await records.hosts.reconcile(name)]
        assert (wrong, await records.quotas.reconcile()) == ([], []), step
