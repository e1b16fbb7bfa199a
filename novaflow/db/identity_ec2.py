"""EC2 key pairs. They go with their user and with their project; the secret is stored as it was sealed and never read here."""

from collections.abc import Callable

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_domains import Projects
from novaflow.db.identity_records import Records
from novaflow.db.identity_users import Users
from novaflow.db.schema.identity import EC2_CREDENTIALS
from novaflow.identity.models import Ec2Credential


class Ec2Credentials(Records[Ec2Credential]):
    """The key pairs, by access key."""

    def __init__(self, db: Database, users: Users, projects: Projects) -> None:
        super().__init__(db, EC2_CREDENTIALS, Ec2Credential, "credential")
        self._users = users
        self._projects = projects

    async def create(self, credential: Ec2Credential) -> Ec2Credential:
        """Store a new key pair. Raises NotFound if its user or project is not there."""

        async def work(connection: AsyncConnection) -> Ec2Credential:
            await self._users.fetch(connection, credential.user_id, locked=True)
            await self._projects.fetch(connection, credential.project_id, locked=True)
            return await self.add(connection, credential)

        return await self._db.write(work)

    async def delete(self, key: str) -> None:
        """Delete a key pair. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            await self.remove(connection, await self.fetch(connection, key, locked=True))

        await self._db.write(work)

    async def reseal(self, again: Callable[[str], str]) -> int:
        """Replace every sealed secret by what `again` makes of it, one by one; says how many there were.

        A pair that is deleted or sealed again meanwhile is left alone.
        """
        found = await self.all()
        for credential in found:
            await self._replace(credential, again(credential.sealed_secret))
        return len(found)

    async def _replace(self, credential: Ec2Credential, sealed: str) -> None:
        same = (EC2_CREDENTIALS.c.id == credential.id, EC2_CREDENTIALS.c.sealed_secret == credential.sealed_secret)
        statement = update(EC2_CREDENTIALS).where(*same).values(sealed_secret=sealed)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self._db.write(work)
