"""What ends a token, and what may not slip through, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_bootstrap import Account, Bootstrap
from novaflow.db.identity_logins import Wanted, WantedScope
from novaflow.db.schema.identity import PROJECTS, TOKENS
from novaflow.errors import Unauthorized
from novaflow.identity.models import Claims, Owned
from novaflow.identity.tokens import digest
from tests.support.clocks import ManualClock
from tests.support.identity import START, IdentityWorld, identity_world


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[IdentityWorld]:
    async with identity_world(database, tmp_path / "state", clock=ManualClock(START)) as world:
        yield world


async def test_a_token_is_stored_by_its_digest_alone(world: IdentityWorld) -> None:
    async def everything(connection: AsyncConnection) -> str:
        return str((await connection.execute(TOKENS.select())).all())

    stored = await world.database.read(everything)

    assert digest(world.token) in stored
    assert world.token not in stored


async def test_a_token_ends_when_its_time_is_over_and_is_forgotten(world: IdentityWorld) -> None:
    token = await world.token_of("admin", "the administrator's", "admin")
    assert isinstance(world.clock, ManualClock)

    world.clock.advance(timedelta(seconds=3600))

    (claims,) = await world.service.authority.validate([token])
    assert claims is None
    assert await world.service.authority.records.tokens.purge(world.clock.now()) == 2
    assert await world.service.authority.records.tokens.purge(world.clock.now()) == 0


async def test_a_revoked_token_is_gone_and_others_of_its_user_are_not(world: IdentityWorld) -> None:
    await world.user_in_project()
    ended, kept = [await world.token_of("alice", "alice", "alice-project") for _ in range(2)]

    reply = await world.ask("DELETE", "/v3/auth/tokens", headers={"X-Subject-Token": ended})

    assert reply.status == 204
    assert not await world.is_valid(ended)
    assert await world.is_valid(kept)


@pytest.mark.parametrize("change", [{"password": "another"}, {"enabled": False}], ids=str)
async def test_all_tokens_of_a_user_end_with_its_password_and_with_being_disabled(
    world: IdentityWorld, change: dict[str, object]
) -> None:
    user_id, _ = await world.user_in_project()
    tokens = [await world.token_of("alice", "alice", project) for project in ("alice-project", None)]

    assert (await world.ask("PATCH", f"/v3/users/{user_id}", {"user": change})).status == 200

    assert [await world.is_valid(token) for token in tokens] == [False, False]
    assert await world.is_valid(world.token)


async def test_a_user_enabled_again_has_no_token_from_before(world: IdentityWorld) -> None:
    user_id, _ = await world.user_in_project()
    token = await world.token_of("alice", "alice", "alice-project")

    for enabled in (False, True):
        await world.ask("PATCH", f"/v3/users/{user_id}", {"user": {"enabled": enabled}})

    assert not await world.is_valid(token)
    assert (await world.log_in("alice", "alice", "alice-project")).status == 201


async def test_tokens_end_with_their_user(world: IdentityWorld) -> None:
    user_id, _ = await world.user_in_project()
    token = await world.token_of("alice", "alice", "alice-project")

    assert (await world.ask("DELETE", f"/v3/users/{user_id}")).status == 204

    assert not await world.is_valid(token)
    assert (await world.log_in("alice", "alice")).status == 401


async def test_tokens_for_a_project_end_with_it_and_with_its_being_disabled(world: IdentityWorld) -> None:
    _, project_id = await world.user_in_project()
    scoped, unscoped = await world.token_of("alice", "alice", "alice-project"), await world.token_of("alice", "alice")

    await world.ask("PATCH", f"/v3/projects/{project_id}", {"project": {"enabled": False}})
    assert [await world.is_valid(token) for token in (scoped, unscoped)] == [False, True]
    assert (await world.log_in("alice", "alice", "alice-project")).status == 401

    await world.ask("PATCH", f"/v3/projects/{project_id}", {"project": {"enabled": True}})
    assert not await world.is_valid(scoped)

    scoped = await world.token_of("alice", "alice", "alice-project")
    assert (await world.ask("DELETE", f"/v3/projects/{project_id}")).status == 204
    assert [await world.is_valid(token) for token in (scoped, unscoped)] == [False, True]


async def test_tokens_for_a_project_end_when_a_role_there_is_taken_away(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project(role="manager")
    await world.grant(project_id, user_id, "reader")
    scoped, unscoped = await world.token_of("alice", "alice", "alice-project"), await world.token_of("alice", "alice")

    path = f"/v3/projects/{project_id}/users/{user_id}/roles/{await world.role('manager')}"
    assert (await world.ask("DELETE", path)).status == 204

    assert [await world.is_valid(token) for token in (scoped, unscoped)] == [False, True]
    again = await world.log_in("alice", "alice", "alice-project")
    assert [role["name"] for role in again.body["token"]["roles"]] == ["reader"]


async def test_tokens_end_when_their_domain_is_disabled(world: IdentityWorld) -> None:
    domain = await world.make("domains", "domain", name="elsewhere")
    await world.make("users", "user", name="eve", password="eve", domain_id=domain["id"])
    wanted = Wanted(name="eve", domain_name="elsewhere")
    issued = await world.service.authority.log_in(wanted, "eve", WantedScope())
    assert await world.is_valid(issued.token)

    await world.ask("PATCH", f"/v3/domains/{domain['id']}", {"domain": {"enabled": False}})

    assert not await world.is_valid(issued.token)
    with pytest.raises(Unauthorized):
        await world.service.authority.log_in(wanted, "eve", WantedScope())


async def test_roles_by_a_group_come_and_go_with_it(world: IdentityWorld) -> None:
    user = await world.make("users", "user", name="alice", password="alice")
    project = await world.make("projects", "project", name="p")
    group = await world.make("groups", "group", name="g")
    member = await world.role("member")
    await world.ask("PUT", f"/v3/groups/{group['id']}/users/{user['id']}")
    await world.ask("PUT", f"/v3/projects/{project['id']}/groups/{group['id']}/roles/{member}")
    token = await world.token_of("alice", "alice", "p")
    assert await world.is_valid(token)

    await world.ask("DELETE", f"/v3/groups/{group['id']}/users/{user['id']}")

    assert not await world.is_valid(token)
    assert (await world.log_in("alice", "alice", "p")).status == 401


async def test_a_new_role_shows_in_a_token_that_is_there_already(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project(role="reader")
    token = await world.token_of("alice", "alice", "alice-project")

    await world.grant(project_id, user_id, "member")

    (claims,) = await world.service.authority.validate([token])
    assert claims is not None
    assert {role.name for role in claims.roles} == {"reader", "member"}


async def test_a_role_renamed_or_implied_shows_at_once(world: IdentityWorld) -> None:
    await world.user_in_project(role="reader")
    token = await world.token_of("alice", "alice", "alice-project")
    dancer = await world.make("roles", "role", name="dancer")

    await world.ask("PUT", f"/v3/roles/{await world.role('reader')}/implies/{dancer['id']}")
    await world.ask("PATCH", f"/v3/roles/{dancer['id']}", {"role": {"name": "singer"}})

    about = await world.get("/v3/auth/tokens", headers={"X-Subject-Token": token})
    assert [role["name"] for role in about["token"]["roles"]] == ["reader", "singer"]


async def test_a_login_decided_before_a_change_of_password_gets_no_token_after_it(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()
    authority = world.service.authority
    decided = await _claims(world, user_id, project_id)

    await authority.records.users.update(user_id, {"password_hash": await authority.passwords.hash("new")})

    with pytest.raises(Unauthorized):
        await authority.records.tokens.issue(decided)


async def test_a_token_waits_for_a_project_that_is_just_being_disabled(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()
    decided = await _claims(world, user_id, project_id)
    disabled, may_commit = asyncio.Event(), asyncio.Event()

    async def disable(connection: AsyncConnection) -> None:
        await connection.execute(update(PROJECTS).where(PROJECTS.c.id == project_id).values(enabled=False))
        disabled.set()
        await may_commit.wait()

    disabling = asyncio.create_task(world.database.write(disable))
    await disabled.wait()
    issuing = asyncio.create_task(world.service.authority.records.tokens.issue(decided))
    _, waiting = await asyncio.wait({issuing}, timeout=0.3)
    may_commit.set()
    await disabling

    assert waiting == {issuing}
    with pytest.raises(Unauthorized):
        await issuing


async def _claims(world: IdentityWorld, user_id: str, project_id: str) -> Claims:
    """A login that is decided and not yet stored."""
    wanted = WantedScope(project=Wanted(id=project_id))
    login = await world.service.authority.records.logins.find(Wanted(id=user_id), wanted)
    assert login.user is not None
    assert login.owner is not None
    assert login.scope is not None
    return Claims(
        digest="0" * 64,
        user=Owned(id=user_id, name="alice", domain=login.owner),
        methods=("password",),
        audit_ids=("a",),
        issued_at=START,
        expires_at=START + timedelta(hours=1),
        epoch=login.user.epoch,
        project=login.scope.project,
    )


async def test_many_logins_at_once_all_get_their_own_token(world: IdentityWorld) -> None:
    await world.user_in_project()

    tokens = await asyncio.gather(*(world.token_of("alice", "alice", "alice-project") for _ in range(20)))

    assert len(set(tokens)) == 20
    assert all(await asyncio.gather(*(world.is_valid(token) for token in tokens)))


async def test_logins_beside_changes_of_password_leave_only_tokens_of_the_last_one(world: IdentityWorld) -> None:
    user_id, _ = await world.user_in_project()
    done = asyncio.Event()
    tokens: list[str] = []

    async def keep_logging_in() -> None:
        while not done.is_set():
            reply = await world.log_in("alice", "alice", "alice-project")
            if reply.status == 201:
                tokens.append(reply.headers["X-Subject-Token"])

    async def change() -> None:
        for password in ("other", "alice", "other", "alice", "final"):
            await world.ask("PATCH", f"/v3/users/{user_id}", {"user": {"password": password}})
        done.set()

    await asyncio.gather(change(), *(keep_logging_in() for _ in range(4)))

    assert not any(await asyncio.gather(*(world.is_valid(token) for token in tokens)))


async def test_two_first_starts_at_once_make_everything_once(world: IdentityWorld) -> None:
    database = world.database

    async def clear(connection: AsyncConnection) -> None:
        for name in ("tokens", "grants", "implied_roles", "users", "projects", "roles", "domains", "revision"):
            await connection.execute(text(f"DELETE FROM identity_{name}"))

    await database.write(clear)
    account = Account(user="root", project="top", description="")

    async def start() -> bool:
        bootstrap = Bootstrap(database, world.service.authority.records)
        await bootstrap.base()
        return (await bootstrap.account(account, "hash")).is_new

    made = await asyncio.gather(*(start() for _ in range(4)))

    assert sorted(made) == [False, False, False, True]
    records = world.service.authority.records
    assert [user.name for user in await records.users.all()] == ["root"]
    assert [role.name for role in await records.roles.all()] == ["admin", "manager", "member", "reader", "service"]
    assert [domain.id for domain in await records.domains.all()] == ["default"]
