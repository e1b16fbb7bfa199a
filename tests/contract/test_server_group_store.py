"""Server groups at their limits, with everybody asking at once."""

import asyncio

import msgspec
import pytest

from novaflow.db.ids import new_uuid
from novaflow.db.server_groups import ServerGroups
from novaflow.errors import Invalid, LimitExceeded, NotFound, QuotaExceeded
from novaflow.models import ServerGroup
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import Event
from tests.support.cloud_records import ALICE, NOW, PLENTY, Records, draft, request, task_of


@pytest.fixture
def groups(records: Records) -> ServerGroups:
    return ServerGroups(records.database)


def group(name: str = "g", project: str = "p1", user: str = "alice") -> ServerGroup:
    return ServerGroup(id=new_uuid(), name=name, policy="affinity", project_id=project, user_id=user, created_at=NOW)


@pytest.mark.parametrize("is_of_user", [False, True], ids=["of the project", "of the user"])
async def test_of_many_groups_at_the_limit_those_that_fit_are_made(
    records: Records, groups: ServerGroups, *, is_of_user: bool
) -> None:
    await records.quotas.set("p1", {"server_groups": 3}, user_id="alice" if is_of_user else "")

    results = await asyncio.gather(
        *(groups.create(group(f"g{number}"), QuotaLimits()) for number in range(9)), return_exceptions=True
    )

    assert sum(isinstance(result, QuotaExceeded) for result in results) == 6
    standing = await records.quotas.standing("p1", "alice", QuotaLimits())
    assert len(await groups.list("p1")) == standing.of_project.server_groups == standing.of_user.server_groups == 3


async def test_of_many_servers_at_the_limit_those_that_fit_join(records: Records, groups: ServerGroups) -> None:
    made = await groups.create(group(), PLENTY)
    limits = msgspec.structs.replace(PLENTY, server_group_members=3)

    results = await asyncio.gather(
        *(records.servers.create(request(number), [draft(group_id=made.id)], limits) for number in range(9)),
        return_exceptions=True,
    )

    assert sum(isinstance(result, LimitExceeded) for result in results) == 6
    assert len((await groups.get(made.id)).members) == 3
    assert (await records.quotas.usage("p1", "alice")).instances == 3


async def test_each_user_has_his_own_servers_counted(records: Records, groups: ServerGroups) -> None:
    made = await groups.create(group(), PLENTY)
    limits = msgspec.structs.replace(PLENTY, server_group_members=1)
    bob = msgspec.structs.replace(ALICE, user_id="bob")

    for context in (ALICE, bob):
        await records.servers.create(context, [draft(group_id=made.id)], limits)

    assert len((await groups.get(made.id)).members) == 2


async def test_a_deleted_server_leaves_its_group_and_makes_room(records: Records, groups: ServerGroups) -> None:
    await records.host()
    made = await groups.create(group(), PLENTY)
    server = await records.active(group_id=made.id)
    assert (await groups.get(made.id)).members == (server.id,)

    ordered = await records.servers.order(request(2), server, "delete", Event.DELETE_ORDERED)
    assert (await groups.get(made.id)).members == (server.id,)
    await records.servers.advance(server.id, task_of(ordered), Event.DELETED, host="c1")

    assert (await groups.get(made.id)).members == ()


async def test_nobody_joins_a_group_that_is_being_deleted(records: Records, groups: ServerGroups) -> None:
    for number in range(5):
        made = await groups.create(group(), PLENTY)

        created, _ = await asyncio.gather(
            records.servers.create(request(number), [draft(group_id=made.id)], PLENTY),
            groups.delete(made.id),
            return_exceptions=True,
        )

        assert isinstance(created, list | Invalid)
        with pytest.raises(NotFound):
            await groups.get(made.id)
    assert (await records.quotas.reconcile()) == []


@pytest.mark.parametrize("project", ["p2", None], ids=["another project's", "nobody's"])
async def test_a_group_of_others_takes_no_server(records: Records, groups: ServerGroups, project: str | None) -> None:
    group_id = new_uuid() if project is None else (await groups.create(group(project=project), PLENTY)).id

    with pytest.raises(Invalid, match=f"Instance group {group_id} could not be found"):
        await records.servers.create(ALICE, [draft(group_id=group_id)], PLENTY)

    assert await records.quotas.usage("p1", "alice") == Usage()


async def test_a_server_that_is_made_twice_joins_once(records: Records, groups: ServerGroups) -> None:
    made = await groups.create(group(), PLENTY)
    drafts = [draft(group_id=made.id)]

    first = await records.servers.create(ALICE, drafts, PLENTY)
    again = await records.servers.create(ALICE, drafts, PLENTY)

    assert first == again
    assert (await groups.get(made.id)).members == (first[0].id,)
