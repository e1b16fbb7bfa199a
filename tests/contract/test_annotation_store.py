"""Metadata and tags that many change in one moment: on SQLite and on MariaDB."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from novaflow.config import Config
from novaflow.errors import LimitExceeded, Missing, NotFound
from novaflow.models import Server
from novaflow.operations.servers import ServerOperations
from novaflow.quotas import QuotaLimits
from novaflow.states import Event
from tests.support.cloud_records import ALICE, NOW, Records, request, task_of

EVERYONE = [str(number) for number in range(16)]


def operations(records: Records, **limits: int) -> ServerOperations:
    return ServerOperations(records.servers, records.quotas, Config(quota=QuotaLimits(**limits)))


async def running(records: Records, **more: Any) -> Server:
    await records.host()
    return await records.active(**more)


async def test_of_items_set_at_once_none_is_lost(records: Records) -> None:
    server = await running(records, metadata={"first": "1"})
    servers = operations(records)

    await asyncio.gather(*(servers.add_metadata(ALICE, server.id, {key: key}) for key in EVERYONE))

    assert (await records.servers.get(server.id)).metadata == {"first": "1"} | {key: key for key in EVERYONE}


async def test_items_set_and_dropped_at_once_do_not_come_back(records: Records) -> None:
    server = await running(records, metadata={key: key for key in EVERYONE})
    servers = operations(records)

    await asyncio.gather(
        *(servers.remove_metadata(ALICE, server.id, key) for key in EVERYONE),
        *(servers.add_metadata(ALICE, server.id, {f"new {key}": ""}) for key in EVERYONE),
    )

    assert (await records.servers.get(server.id)).metadata == {f"new {key}": "" for key in EVERYONE}


async def test_at_the_quota_exactly_as_many_items_as_fit_are_set(records: Records) -> None:
    server = await running(records)
    servers = operations(records, metadata_items=5)

    results = await asyncio.gather(
        *(servers.add_metadata(ALICE, server.id, {key: key}) for key in EVERYONE), return_exceptions=True
    )

    refused = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, LimitExceeded) for error in refused)
    assert len(refused) == len(EVERYONE) - 5
    assert len((await records.servers.get(server.id)).metadata) == 5


async def test_of_tags_added_and_taken_away_at_once_each_has_its_way(records: Records) -> None:
    server = await running(records, tags=("old", "kept"))
    servers = operations(records)

    added = await asyncio.gather(
        *(servers.add_tag(ALICE, server.id, tag) for tag in (*EVERYONE, *EVERYONE)),
        servers.remove_tag(ALICE, server.id, "old"),
    )

    assert sorted((await records.servers.get(server.id)).tags) == sorted(("kept", *EVERYONE))
    assert (added.count(True), added.count(False)) == (len(EVERYONE), len(EVERYONE))


async def test_a_change_shows_when_it_was_made_and_a_refused_one_changes_nothing(records: Records) -> None:
    server = await running(records, tags=("a",))
    records.clock.advance(timedelta(minutes=1))
    servers = operations(records)

    with pytest.raises(Missing):
        await servers.remove_tag(ALICE, server.id, "b")
    assert not await servers.add_tag(ALICE, server.id, "a")
    assert await records.servers.get(server.id) == server

    await servers.remove_tag(ALICE, server.id, "a")
    changed = await records.servers.get(server.id)
    assert (changed.tags, changed.updated_at) == ((), NOW + timedelta(minutes=1))


async def test_others_servers_and_deleted_ones_are_not_there(records: Records) -> None:
    server = await running(records)

    with pytest.raises(NotFound):
        await records.servers.annotate(server.id, "p2", lambda _: {"tags": ("a",)})
    ordered = await records.servers.order(request(2), server, "delete", Event.DELETE_ORDERED)
    await records.servers.advance(server.id, task_of(ordered), Event.DELETED, host="c1")
    with pytest.raises(NotFound):
        await records.servers.annotate(server.id, None, lambda _: {"tags": ("a",)})


async def test_a_server_in_full_comes_with_its_user_data(records: Records) -> None:
    with_it, without = await records.made(user_data="IyEvYmluL3No"), await records.made()

    assert await records.servers.get_in_full(with_it.id) == (with_it, "IyEvYmluL3No")
    assert await records.servers.get_in_full(without.id, project_id=without.project_id) == (without, "")
    with pytest.raises(NotFound):
        await records.servers.get_in_full(with_it.id, project_id="other")
