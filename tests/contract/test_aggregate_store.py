"""Aggregates when everybody changes them at once: a host is in one zone, and no server changes its own."""

import asyncio
from datetime import timedelta

import pytest

from novaflow.db.aggregates import Aggregates
from novaflow.errors import Conflict, Invalid, NotFound
from novaflow.models import Context
from novaflow.operations.aggregates import AggregateOperations
from tests.support.cloud_records import RATIOS, Records, spec_of, task_of

ADMIN = Context(request_id="req-1", user_id="root", project_id="p0", roles=("admin",))


@pytest.fixture
def operations(records: Records) -> AggregateOperations:
    return AggregateOperations(Aggregates(records.database, records.clock))


async def test_of_many_zones_a_host_gets_one(records: Records, operations: AggregateOperations) -> None:
    await records.host()
    made = [await operations.create(ADMIN, f"a{number}", f"z{number}") for number in range(5)]

    results = await asyncio.gather(*(operations.add_host(ADMIN, one.id, "c1") for one in made), return_exceptions=True)

    assert sum(isinstance(result, Conflict) for result in results) == 4
    (home,) = [one for one in await operations.list(ADMIN) if one.hosts]
    assert (await records.hosts.get("c1")).availability_zone == home.availability_zone


async def test_of_many_aggregates_one_gets_the_name(operations: AggregateOperations) -> None:
    results = await asyncio.gather(*(operations.create(ADMIN, "fast", None) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(result, Conflict) for result in results) == 4
    assert len(await operations.list(ADMIN)) == 1


async def test_a_server_is_placed_before_its_hosts_zone_changes_or_after(
    records: Records, operations: AggregateOperations
) -> None:
    """The server says which zone it is in; it is the zone that its host is in."""
    for number in range(6):
        name = f"h{number}"
        await records.host(name)
        aggregate = await operations.create(ADMIN, name, f"z{number}")
        server = await records.made()

        placed, joined = await asyncio.gather(
            records.servers.claim(server.id, task_of(server), name, spec_of(server), RATIOS),
            operations.add_host(ADMIN, aggregate.id, name),
            return_exceptions=True,
        )

        assert placed is True
        is_moved = not isinstance(joined, Conflict)
        assert (await records.hosts.get(name)).availability_zone == (f"z{number}" if is_moved else "nova")


async def test_metadata_that_is_set_at_once_is_all_kept(operations: AggregateOperations) -> None:
    aggregate = await operations.create(ADMIN, "fast", None)

    await asyncio.gather(*(operations.set_metadata(ADMIN, aggregate.id, {f"k{number}": "v"}) for number in range(6)))

    found = await operations.get(ADMIN, aggregate.id)
    assert found.metadata == {f"k{number}": "v" for number in range(6)}


async def test_every_change_is_seen_in_its_time(records: Records, operations: AggregateOperations) -> None:
    await records.host()
    aggregate = await operations.create(ADMIN, "fast", None)
    assert aggregate.updated_at is None

    for change in (
        operations.add_host(ADMIN, aggregate.id, "c1"),
        operations.set_metadata(ADMIN, aggregate.id, {"a": "b"}),
        operations.update(ADMIN, aggregate.id, {"name": "faster"}),
        operations.remove_host(ADMIN, aggregate.id, "c1"),
    ):
        records.clock.advance(timedelta(seconds=1))
        assert (await change).updated_at == records.clock.now()


async def test_one_that_is_not_empty_stays(records: Records, operations: AggregateOperations) -> None:
    await records.host()
    aggregate = await operations.create(ADMIN, "fast", None)
    await operations.add_host(ADMIN, aggregate.id, "c1")

    with pytest.raises(Invalid):
        await operations.delete(ADMIN, aggregate.id)
    await operations.remove_host(ADMIN, aggregate.id, "c1")
    await operations.delete(ADMIN, aggregate.id)

    with pytest.raises(NotFound):
        await operations.get(ADMIN, aggregate.id)
