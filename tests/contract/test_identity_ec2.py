"""EC2 key pairs on both databases: whose they are, what ends them, and what is seen of them where they lie."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novaflow.db.database import Database
from novaflow.db.identity_ec2 import Ec2Credentials
from novaflow.errors import NotFound
from novaflow.identity.models import Domain, Ec2Credential, Project, User
from services.identity.rotation import rotate
from tests.support.clocks import ManualClock
from tests.support.ec2 import Shape, as_json, signed_v4
from tests.support.identity import START, IdentityWorld, identity_world

PAIR = Ec2Credential(id="a1", user_id="u1", project_id="p1", sealed_secret="sealed")


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[IdentityWorld]:
    async with identity_world(database, tmp_path / "state", clock=ManualClock(START)) as world:
        records = world.service.authority.records
        await records.domains.create(Domain(id="d1", name="d", enabled=False))
        await records.users.create(User(id="u1", name="u", domain_id="d1"))
        await records.projects.create(Project(id="p1", name="p", domain_id="d1", parent_id="d1"))
        yield world


async def test_a_key_pair_comes_back_as_it_was_stored(world: IdentityWorld) -> None:
    pairs = credentials(world)

    await pairs.create(PAIR)

    assert await pairs.create(PAIR) == PAIR  # a second run whose first end was lost
    assert await pairs.get("a1") == PAIR
    assert await pairs.all(user_id="u1") == [PAIR]
    with pytest.raises(NotFound):
        await pairs.get("A1")
    await pairs.delete("a1")
    with pytest.raises(NotFound):
        await pairs.delete("a1")


async def test_a_key_pair_needs_its_user_and_its_project(world: IdentityWorld) -> None:
    for wrong in ("user_id", "project_id"):
        facts = {name: getattr(PAIR, name) for name in PAIR.__struct_fields__}
        with pytest.raises(NotFound, match="x could not be found"):
            await credentials(world).create(Ec2Credential(**facts | {wrong: "x"}))


@pytest.mark.parametrize("noun", ["users", "projects", "domains"])
async def test_a_key_pair_goes_with_its_user_its_project_and_their_domain(world: IdentityWorld, noun: str) -> None:
    await credentials(world).create(PAIR)

    await getattr(world.service.authority.records, noun).delete(
        {"users": "u1", "projects": "p1", "domains": "d1"}[noun]
    )

    with pytest.raises(NotFound):
        await credentials(world).get("a1")


async def test_sealing_again_leaves_alone_what_changed_meanwhile(world: IdentityWorld) -> None:
    pairs = credentials(world)
    for key in ("a1", "a2"):
        await pairs.create(Ec2Credential(id=key, user_id="u1", project_id="p1", sealed_secret=f"sealed {key}"))

    assert await pairs.reseal(lambda sealed: sealed.upper()) == 2

    assert [pair.sealed_secret for pair in await pairs.all()] == ["SEALED A1", "SEALED A2"]


async def test_a_rotation_changes_what_is_stored_and_no_secret(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()
    path = f"/v3/users/{user_id}/credentials/OS-EC2"
    pair = (await world.ask("POST", path, {"tenant_id": project_id})).body["credential"]
    before = (await credentials(world).get(pair["access"])).sealed_secret

    assert await rotate(world.database, world.state_dir) == 1
    assert await rotate(world.database, world.state_dir) == 1

    after = (await credentials(world).get(pair["access"])).sealed_secret
    assert before != after
    assert pair["secret"] not in before + after
    assert (await world.get(f"{path}/{pair['access']}"))["credential"]["secret"] == pair["secret"]
    signed = signed_v4(Shape(), START, access=pair["access"], secret=pair["secret"])
    assert (await world.ask("POST", "/v3/ec2tokens", as_json(signed))).status == 200
    assert (world.state_dir / "credential-keys").stat().st_mode & 0o777 == 0o600


def credentials(world: IdentityWorld) -> Ec2Credentials:
    return world.service.authority.records.ec2_credentials
