"""The records of the identity service, on both databases, by what its clients can see."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from novaflow.db.database import Database
from novaflow.errors import Conflict, NotFound, Protected
from novaflow.identity.models import Domain, Endpoint, Grant, Group, Project, Region, Role, Service, User
from tests.support.clocks import ManualClock
from tests.support.identity import START, IdentityWorld, identity_world

RECORDS: list[Any] = [
    Domain(id="d1", name="n", description="ä€😀", tags=["a"], options={"x": 1}, extra={"y": [None]}),
    Project(id="p1", name="n", domain_id="default", parent_id="default", tags=["a", "b"], extra={"y": {"z": 1.5}}),
    User(id="u1", name="n", domain_id="default", password_hash="h", description="d", extra={"email": "e"}),
    Group(id="g1", name="n", domain_id="default", description="d" * 70000),
    Role(id="r1", name="n", description=None, options={"immutable": False}),
]


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[IdentityWorld]:
    async with identity_world(database, tmp_path / "state", clock=ManualClock(START)) as world:
        yield world


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
async def test_a_record_comes_back_as_it_was_stored(world: IdentityWorld, record: Any) -> None:
    records = _of(world, record)

    await records.create(record)

    assert await records.get(record.id) == record
    assert await records.all(name="n") == [record]
    assert await records.all(name="N") == []
    changed = await records.update(record.id, {"name": "m", "extra": {"k": "v"}})
    assert (changed.name, changed.extra) == ("m", {"k": "v"})
    assert await records.get(record.id) == changed
    assert await records.update(record.id, {"name": "m"}) == changed


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
async def test_a_name_is_taken_once_and_an_unknown_id_is_named(world: IdentityWorld, record: Any) -> None:
    records = _of(world, record)
    await records.create(record)
    fields = {name: getattr(record, name) for name in record.__struct_fields__}

    with pytest.raises(Conflict):
        await records.create(type(record)(**fields | {"id": "other"}))
    other = await records.create(type(record)(**fields | {"id": "other", "name": "free"}))
    with pytest.raises(Conflict):
        await records.update(other.id, {"name": "n"})
    assert [found.id for found in await records.all(name="n")] == [record.id]
    for work in (records.get("x"), records.update("x", {"name": "y"}), records.delete("x")):
        with pytest.raises(NotFound, match="x could not be found"):
            await work


@pytest.mark.parametrize("record", RECORDS[1:4], ids=lambda record: type(record).__name__)
async def test_a_second_run_of_a_create_whose_end_was_lost_is_no_conflict(world: IdentityWorld, record: Any) -> None:
    records = _of(world, record)
    await records.create(record)

    assert await records.create(record) == record


async def test_an_immutable_record_stays(world: IdentityWorld) -> None:
    roles = world.service.authority.records.roles
    await roles.create(Role(id="r1", name="n", options={"immutable": True}))

    for work in (roles.update("r1", {"name": "m"}), roles.delete("r1")):
        with pytest.raises(Protected):
            await work
    await roles.update("r1", {"options": {}})
    await roles.delete("r1")


async def test_the_catalogue_keeps_its_references(world: IdentityWorld) -> None:
    records = world.service.authority.records
    await records.regions.create(Region(id="Mars", parent_region_id="RegionOne"))
    await records.services.create(Service(id="s1", type="t"))
    point = Endpoint(id="e1", service_id="s1", interface="public", url="http://x", region_id="Mars")
    await records.endpoints.create(point)

    with pytest.raises(Conflict):
        await records.regions.create(Region(id="Mars", parent_region_id="RegionOne"))
    with pytest.raises(Protected):
        await records.regions.delete("Mars")
    await records.services.delete("s1")
    assert await records.endpoints.all(service_id="s1") == []
    await records.regions.delete("Mars")


async def test_a_grant_is_there_once_and_goes_with_its_parts(world: IdentityWorld) -> None:
    records = world.service.authority.records
    user_id, project_id = await world.user_in_project()
    role = await records.roles.create(Role(id="r1", name="n"))
    grant = Grant(actor_kind="user", actor_id=user_id, target_kind="project", target_id=project_id, role_id=role.id)

    await records.grants.add(grant)
    await records.grants.add(grant)

    assert [found.role_id for found in await records.grants.all(role_id="r1")] == ["r1"]
    await records.roles.delete("r1")
    assert await records.grants.all(role_id="r1") == []
    await records.projects.delete(project_id)
    assert await records.grants.all(actor_id=user_id) == []


async def test_a_domain_takes_all_with_it(world: IdentityWorld) -> None:
    records = world.service.authority.records
    await records.domains.create(Domain(id="d1", name="d"))
    await records.users.create(User(id="u1", name="u", domain_id="d1"))
    await records.groups.create(Group(id="g1", name="g", domain_id="d1"))
    await records.groups.join("g1", "u1")
    await records.projects.create(Project(id="p1", name="p", domain_id="d1", parent_id="d1"))
    reader = await world.role("reader")
    for kind, actor in (("user", "u1"), ("group", "g1")):
        await records.grants.add(
            Grant(actor_kind=kind, actor_id=actor, target_kind="project", target_id="p1", role_id=reader)
        )
    with pytest.raises(Protected):
        await records.domains.delete("d1")
    await records.domains.update("d1", {"enabled": False})

    await records.domains.delete("d1")

    for noun, key in ((records.domains, "d1"), (records.users, "u1"), (records.groups, "g1"), (records.projects, "p1")):
        with pytest.raises(NotFound):
            await noun.get(key)
    assert await records.grants.all(target_id="p1") == []


def _of(world: IdentityWorld, record: Any) -> Any:
    records = world.service.authority.records
    by_type: dict[Any, Any] = {
        Domain: records.domains,
        Project: records.projects,
        User: records.users,
        Group: records.groups,
        Role: records.roles,
    }
    return by_type[type(record)]
