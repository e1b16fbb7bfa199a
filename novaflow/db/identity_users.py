"""Users and groups. Whatever makes a user another one - a new password, being disabled - ends all its tokens."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_domains import Domains
from novaflow.db.identity_records import Records
from novaflow.db.identity_tokens import end_tokens
from novaflow.db.schema.identity import EC2_CREDENTIALS, GRANTS, GROUPS, MEMBERSHIPS, TOKENS, USERS
from novaflow.errors import Conflict, NotFound
from novaflow.identity.models import Group, User


class Users(Records[User]):
    """The users."""

    def __init__(self, db: Database, domains: Domains) -> None:
        super().__init__(db, USERS, User, "user")
        self._domains = domains

    async def create(self, user: User) -> User:
        """Store a new user. Raises Conflict; NotFound if its domain is not there."""

        async def work(connection: AsyncConnection) -> User:
            await self._domains.fetch(connection, user.domain_id)
            return await self.add(connection, user)

        return await self._db.write(work)

    async def update(self, key: str, changes: Mapping[str, Any], *, seen: str | None = None) -> User:
        """Change a user; a new password or being disabled ends its tokens.

        With `seen`, the stored hash must still be that one: else Conflict, for the password was changed meanwhile. Raises NotFound.
        """

        async def work(connection: AsyncConnection) -> User:
            before = await self.fetch(connection, key, locked=True)
            if seen is not None and before.password_hash not in (seen, changes.get("password_hash")):
                raise Conflict(reason="The password was changed by another request.")
            if "password_hash" in changes or not changes.get("enabled", True):
                await end_tokens(connection, TOKENS.c.user_id == key)
                return await self.change(connection, before, {**changes, "epoch": before.epoch + 1})
            return await self.change(connection, before, changes)

        return await self._db.write(work)

    async def rehash(self, key: str, before: str, after: str) -> None:
        """Replace a hash by another one of the same password; nothing happens if it is not `before` any more."""
        statement = update(USERS).where(USERS.c.id == key, USERS.c.password_hash == before).values(password_hash=after)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self._db.write(work)

    async def delete(self, key: str) -> None:
        """Delete a user, its grants, its tokens and its EC2 keys. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            user = await self.fetch(connection, key, locked=True)
            await end_tokens(connection, TOKENS.c.user_id == key)
            await connection.execute(delete(EC2_CREDENTIALS).where(EC2_CREDENTIALS.c.user_id == key))
            await connection.execute(delete(GRANTS).where(GRANTS.c.actor_id == key))
            await connection.execute(delete(MEMBERSHIPS).where(MEMBERSHIPS.c.user_id == key))
            await self.remove(connection, user)

        await self._db.write(work)


class Groups(Records[Group]):
    """The groups and who is in them."""

    def __init__(self, db: Database, domains: Domains, users: Users) -> None:
        super().__init__(db, GROUPS, Group, "group")
        self._domains = domains
        self._users = users

    async def create(self, group: Group) -> Group:
        """Store a new group. Raises Conflict; NotFound if its domain is not there."""

        async def work(connection: AsyncConnection) -> Group:
            await self._domains.fetch(connection, group.domain_id)
            return await self.add(connection, group)

        return await self._db.write(work)

    async def update(self, key: str, changes: Mapping[str, Any]) -> Group:
        """Change a group. Raises NotFound, Conflict."""

        async def work(connection: AsyncConnection) -> Group:
            return await self.change(connection, await self.fetch(connection, key, locked=True), changes)

        return await self._db.write(work)

    async def delete(self, key: str) -> None:
        """Delete a group, its grants, and the tokens of its members. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            group = await self.fetch(connection, key, locked=True)
            await end_tokens(connection, TOKENS.c.user_id.in_(_members(key)))
            await connection.execute(delete(GRANTS).where(GRANTS.c.actor_id == key))
            await connection.execute(delete(MEMBERSHIPS).where(MEMBERSHIPS.c.group_id == key))
            await self.remove(connection, group)

        await self._db.write(work)

    async def join(self, key: str, user_id: str) -> None:
        """Put a user into a group; once is enough. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            await self.fetch(connection, key, locked=True)
            await self._users.fetch(connection, user_id, locked=True)
            if not await _is_member(connection, key, user_id):
                await connection.execute(MEMBERSHIPS.insert().values(user_id=user_id, group_id=key))

        await self._db.write(work)

    async def leave(self, key: str, user_id: str) -> None:
        """Take a user out of a group; its tokens end. Raises NotFound, also if it was not in it."""

        async def work(connection: AsyncConnection) -> None:
            await self._users.fetch(connection, user_id, locked=True)
            gone = delete(MEMBERSHIPS).where(MEMBERSHIPS.c.user_id == user_id, MEMBERSHIPS.c.group_id == key)
            if (await connection.execute(gone)).rowcount == 0:
                raise NotFound(kind="user", key=f"{user_id} in group {key}")
            await end_tokens(connection, TOKENS.c.user_id == user_id)

        await self._db.write(work)

    async def has(self, key: str, user_id: str) -> bool:
        """Whether a user is in a group."""
        return await self._db.read(lambda connection: _is_member(connection, key, user_id))

    async def members(self, key: str) -> list[User]:
        """The users of a group. Raises NotFound."""

        async def work(connection: AsyncConnection) -> list[User]:
            await self.fetch(connection, key)
            return await self._users.select(connection, USERS.c.id.in_(_members(key)))

        return await self._db.read(work)

    async def of_user(self, user_id: str) -> list[Group]:
        """The groups of a user. Raises NotFound."""
        within = select(MEMBERSHIPS.c.group_id).where(MEMBERSHIPS.c.user_id == user_id)

        async def work(connection: AsyncConnection) -> list[Group]:
            await self._users.fetch(connection, user_id)
            return await self.select(connection, GROUPS.c.id.in_(within))

        return await self._db.read(work)


def _members(group_id: str) -> Any:
    return select(MEMBERSHIPS.c.user_id).where(MEMBERSHIPS.c.group_id == group_id)


async def _is_member(connection: AsyncConnection, group_id: str, user_id: str) -> bool:
    query = select(MEMBERSHIPS.c.user_id).where(MEMBERSHIPS.c.group_id == group_id, MEMBERSHIPS.c.user_id == user_id)
    return (await connection.execute(query)).first() is not None
