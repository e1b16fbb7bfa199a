"""Domains, projects and what ends with them."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_records import Records
from novaflow.db.identity_tokens import end_tokens
from novaflow.db.schema.identity import (
    DOMAINS,
    EC2_CREDENTIALS,
    GRANTS,
    GROUPS,
    MEMBERSHIPS,
    PROJECTS,
    ROLES,
    TOKENS,
    USERS,
)
from novaflow.errors import NotFound, Protected
from novaflow.identity.models import Domain, Project

_NOT_A_LEAF: Final = (
    "Cannot delete the project {} since it is not a leaf in the hierarchy. Use the cascade option if you want to delete a "
    "whole subtree."
)


class Domains(Records[Domain]):
    """The domains."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, DOMAINS, Domain, "domain")

    async def create(self, domain: Domain, *, is_id_chosen: bool = False) -> Domain:
        """Store a new domain. Raises Conflict."""
        return await self._db.write(lambda connection: self.add(connection, domain, is_id_chosen=is_id_chosen))

    async def update(self, key: str, changes: Mapping[str, Any]) -> Domain:
        """Change a domain; disabling it ends the tokens of its users and for its projects. Raises NotFound, Conflict."""

        async def work(connection: AsyncConnection) -> Domain:
            after = await self.change(connection, await self.fetch(connection, key, locked=True), changes)
            if not after.enabled:
                await _end_tokens_of(connection, key)
            return after

        return await self._db.write(work)

    async def delete(self, key: str) -> None:
        """Delete a disabled domain with all that is in it. Raises NotFound; Protected while it is enabled."""

        async def work(connection: AsyncConnection) -> None:
            domain = await self.fetch(connection, key, locked=True)
            if domain.enabled:
                raise Protected(reason="Cannot delete a domain that is enabled, please disable it first.")
            await _end_tokens_of(connection, key)
            await _empty(connection, key)
            await self.remove(connection, domain)

        await self._db.write(work)


class Projects(Records[Project]):
    """The projects."""

    def __init__(self, db: Database, domains: Domains) -> None:
        super().__init__(db, PROJECTS, Project, "project")
        self._domains = domains

    async def create(self, project: Project) -> Project:
        """Store a new project. Raises Conflict; NotFound if its domain or parent is not there."""

        async def work(connection: AsyncConnection) -> Project:
            await self._domains.fetch(connection, project.domain_id)
            if project.parent_id != project.domain_id:
                parent = await self.fetch(connection, project.parent_id)
                if parent.domain_id != project.domain_id:
                    raise NotFound(kind=self.kind, key=project.parent_id)
            return await self.add(connection, project)

        return await self._db.write(work)

    async def update(self, key: str, changes: Mapping[str, Any]) -> Project:
        """Change a project; disabling it ends the tokens for it. Raises NotFound, Conflict."""

        async def work(connection: AsyncConnection) -> Project:
            after = await self.change(connection, await self.fetch(connection, key, locked=True), changes)
            if not after.enabled:
                await end_tokens(connection, TOKENS.c.project_id == key)
            return after

        return await self._db.write(work)

    async def delete(self, key: str) -> None:
        """Delete a project, its grants, its tokens and the EC2 keys for it. Raises NotFound; Protected while it has children."""

        async def work(connection: AsyncConnection) -> None:
            project = await self.fetch(connection, key, locked=True)
            if await self.select(connection, PROJECTS.c.parent_id == key):
                raise Protected(reason=_NOT_A_LEAF.format(key))
            await end_tokens(connection, TOKENS.c.project_id == key)
            await connection.execute(delete(EC2_CREDENTIALS).where(EC2_CREDENTIALS.c.project_id == key))
            await connection.execute(delete(GRANTS).where(GRANTS.c.target_id == key))
            await self.remove(connection, project)

        await self._db.write(work)

    def _taken(self, record: Project) -> str:
        return (
            "Conflict occurred attempting to store project - it is not permitted to have two projects with either the same "
            f"name or same id in the same domain: name is {record.name}, project id {record.id}."
        )


async def _end_tokens_of(connection: AsyncConnection, domain_id: str) -> None:
    users = select(USERS.c.id).where(USERS.c.domain_id == domain_id)
    projects = select(PROJECTS.c.id).where(PROJECTS.c.domain_id == domain_id)
    of_domain = (TOKENS.c.domain_id == domain_id, TOKENS.c.user_id.in_(users), TOKENS.c.project_id.in_(projects))
    await end_tokens(connection, or_(*of_domain))


async def _empty(connection: AsyncConnection, domain_id: str) -> None:
    within = [select(table.c.id).where(table.c.domain_id == domain_id) for table in (USERS, GROUPS, PROJECTS, ROLES)]
    users, groups, projects, roles = within
    actors = or_(GRANTS.c.actor_id.in_(users), GRANTS.c.actor_id.in_(groups))
    targets = or_(GRANTS.c.target_id.in_(projects), GRANTS.c.target_id == domain_id)
    await connection.execute(delete(GRANTS).where(or_(actors, targets, GRANTS.c.role_id.in_(roles))))
    members = or_(MEMBERSHIPS.c.user_id.in_(users), MEMBERSHIPS.c.group_id.in_(groups))
    await connection.execute(delete(MEMBERSHIPS).where(members))
    keys = or_(EC2_CREDENTIALS.c.user_id.in_(users), EC2_CREDENTIALS.c.project_id.in_(projects))
    await connection.execute(delete(EC2_CREDENTIALS).where(keys))
    for table in (USERS, GROUPS, PROJECTS, ROLES):
        await connection.execute(delete(table).where(table.c.domain_id == domain_id))
