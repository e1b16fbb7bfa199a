"""Security groups at their limits, with everybody asking at once, and who is in them."""

import asyncio

import msgspec
import pytest

from novaflow.db.security_groups import DEFAULT, SecurityGroups
from novaflow.db.security_members import SecurityMembers
from novaflow.errors import Conflict, Invalid, NotFound, QuotaExceeded
from novaflow.models import Context
from novaflow.quotas import QuotaLimits
from novaflow.security_groups import GroupName, SecurityGroup, SecurityRule
from novaflow.states import Event
from tests.support.cloud_records import ALICE, PLENTY, Records, draft, request, task_of

BOB = msgspec.structs.replace(ALICE, user_id="bob", project_id="p2")


@pytest.fixture
def groups(records: Records) -> SecurityGroups:
    return SecurityGroups(records.database, records.clock)


@pytest.fixture
def members(records: Records) -> SecurityMembers:
    return SecurityMembers(records.database)


async def made(groups: SecurityGroups, name: str = "web", who: Context = ALICE) -> SecurityGroup:
    return await groups.create(who, name, f"about {name}", QuotaLimits())


def rule(port: int = 22, cidr: str | None = "10.0.0.0/8", source_id: int | None = None) -> SecurityRule:
    return SecurityRule(id=0, group_id=0, protocol="tcp", from_port=port, to_port=port, cidr=cidr, source_id=source_id)


@pytest.mark.parametrize("is_of_user", [False, True], ids=["of the project", "of the user"])
async def test_of_many_groups_at_the_limit_those_that_fit_are_made(
    records: Records, groups: SecurityGroups, *, is_of_user: bool
) -> None:
    await records.quotas.set("p1", {"security_groups": 3}, user_id="alice" if is_of_user else "")

    results = await asyncio.gather(*(made(groups, f"g{number}") for number in range(9)), return_exceptions=True)

    assert sum(isinstance(result, QuotaExceeded) for result in results) == 6
    standing = await records.quotas.standing("p1", "alice", QuotaLimits())
    assert len(await groups.list("p1")) == standing.of_project.security_groups == standing.of_user.security_groups == 3


async def test_of_many_rules_at_the_limit_those_that_fit_are_made(records: Records, groups: SecurityGroups) -> None:
    await records.quotas.set("p1", {"security_group_rules": 3})
    group = await made(groups)

    results = await asyncio.gather(
        *(groups.add_rules(ALICE, group.id, [rule(number)], QuotaLimits()) for number in range(1, 10)),
        return_exceptions=True,
    )

    assert sum(isinstance(result, QuotaExceeded) for result in results) == 6
    assert len((await groups.get(group.id)).rules) == 3


async def test_a_name_is_once_in_a_project_however_many_ask_for_it(groups: SecurityGroups) -> None:
    results = await asyncio.gather(*(made(groups) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(result, Conflict) for result in results) == 4
    assert (await made(groups, who=BOB)).project_id == "p2"


async def test_a_rule_is_once_in_its_group(groups: SecurityGroups) -> None:
    group = await made(groups)

    results = await asyncio.gather(
        *(groups.add_rules(ALICE, group.id, [rule()], QuotaLimits()) for _ in range(5)), return_exceptions=True
    )

    assert sum(isinstance(result, Conflict) for result in results) == 4
    assert len((await groups.get(group.id)).rules) == 1


async def test_rules_are_added_all_or_none(groups: SecurityGroups) -> None:
    group = await made(groups)
    await groups.add_rules(ALICE, group.id, [rule(80)], QuotaLimits())

    with pytest.raises(Conflict, match="already exists"):
        await groups.add_rules(ALICE, group.id, [rule(22), rule(80)], QuotaLimits())

    assert [one.from_port for one in (await groups.get(group.id)).rules] == [80]


async def test_a_server_is_in_the_default_group_unless_it_names_others(
    records: Records, groups: SecurityGroups, members: SecurityMembers
) -> None:
    await made(groups, "web")
    plain = await records.made()
    named = await records.made(security_groups=("web", DEFAULT))

    assert await members.names([plain.id, named.id]) == {plain.id: [DEFAULT], named.id: ["web", DEFAULT]}
    web, default = await groups.list("p1")
    assert (web.name, default.name) == ("web", DEFAULT)
    in_both = [GroupName(id=web.id, name="web"), GroupName(id=default.id, name=DEFAULT)]
    assert (await members.groups([named.id]))[named.id] == in_both


async def test_the_first_servers_of_a_project_share_one_default_group(records: Records, groups: SecurityGroups) -> None:
    await asyncio.gather(
        *(records.servers.create(request(number), [draft()], PLENTY) for number in range(6)),
        groups.ensure_default(ALICE),
    )

    assert [group.name for group in await groups.list("p1")] == [DEFAULT]


@pytest.mark.parametrize("who", [ALICE, BOB], ids=["nobody's", "another project's"])
async def test_no_server_is_made_in_a_group_that_its_project_has_not(
    records: Records, groups: SecurityGroups, who: Context
) -> None:
    await made(groups, "web" if who is BOB else "db", who)

    with pytest.raises(Invalid, match="Security group web not found"):
        await records.made(security_groups=("web",))

    assert (await records.quotas.usage("p1", "alice")).instances == 0


async def test_a_group_that_a_server_is_in_is_not_deleted(
    records: Records, groups: SecurityGroups, members: SecurityMembers
) -> None:
    for number in range(5):
        group = await made(groups, f"g{number}")

        created, deleted = await asyncio.gather(
            records.servers.create(request(number), [draft(security_groups=(group.name,))], PLENTY),
            groups.delete(group.id),
            return_exceptions=True,
        )

        assert isinstance(created, list) == isinstance(deleted, Conflict)
        assert isinstance(created, list | Invalid)
        if isinstance(created, list):
            assert await members.names([created[0].id]) == {created[0].id: [group.name]}


async def test_a_deleted_server_leaves_its_groups(
    records: Records, groups: SecurityGroups, members: SecurityMembers
) -> None:
    await records.host()
    group = await made(groups)
    server = await records.active(security_groups=("web",))

    ordered = await records.servers.order(request(2), server, "delete", Event.DELETE_ORDERED)
    await records.servers.advance(server.id, task_of(ordered), Event.DELETED, host="c1")

    assert await members.names([server.id]) == {}
    await groups.delete(group.id)


async def test_a_server_joins_and_leaves_a_group_once(
    records: Records, groups: SecurityGroups, members: SecurityMembers
) -> None:
    await made(groups)
    server = await records.made()

    results = await asyncio.gather(*(members.add(server.id, "web") for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 2
    assert [group.name for group in await groups.of_server(server.id)] == ["web", DEFAULT]

    results = await asyncio.gather(*(members.remove(server.id, "web") for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 2
    assert await members.names([server.id]) == {server.id: [DEFAULT]}


async def test_rules_that_let_a_group_in_go_with_it(groups: SecurityGroups) -> None:
    web, db = await made(groups, "web"), await made(groups, "db")
    (one,) = await groups.add_rules(ALICE, db.id, [rule(cidr=None, source_id=web.id)], QuotaLimits())
    assert (one.source_name, one.source_project_id) == ("web", "p1")

    await groups.delete(web.id)

    assert (await groups.get(db.id)).rules == ()
    with pytest.raises(NotFound):
        await groups.get(web.id)


async def test_a_group_is_named_anew_but_not_as_another(groups: SecurityGroups) -> None:
    web, _ = await made(groups, "web"), await made(groups, "db")

    assert (await groups.describe(web.id, "front", "of the shop")).name == "front"
    assert (await groups.describe(web.id, "front", "again")).description == "again"
    with pytest.raises(Conflict):
        await groups.describe(web.id, "db", "")
