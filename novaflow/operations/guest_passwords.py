"""The password that a guest has encrypted for its owner: posted by the guest once, shown to the owner, and cleared by him.

Nothing here can read it: whoever has the private half of the server's key pair can.
"""

from typing import Final

from novaflow.db.guest_passwords import TAKEN, GuestPasswords
from novaflow.db.servers import Servers
from novaflow.errors import Conflict, Invalid
from novaflow.models import Context
from novaflow.operations.servers import visible_project

MOST_BYTES: Final = 4 * 255  # nova/api/metadata/password.py: four items of metadata


class GuestPasswordOperations:
    """What guests and owners do with it. Other projects' servers are NotFound."""

    def __init__(self, passwords: GuestPasswords, servers: Servers) -> None:
        self._passwords = passwords
        self._servers = servers

    async def shown(self, context: Context, server_id: str) -> str:
        """The encrypted text; empty when there is none."""
        await self._servers.get(server_id, project_id=visible_project(context))
        return await self._passwords.get(server_id)

    async def clear(self, context: Context, server_id: str) -> None:
        """Forget it, so that the guest may post another."""
        await self._servers.get(server_id, project_id=visible_project(context))
        await self._passwords.clear(server_id)

    async def told(self, server_id: str) -> str:
        """The same for the guest itself, who has shown who it is."""
        return await self._passwords.get(server_id)

    async def posted(self, server_id: str, body: bytes) -> None:
        """The guest posts it. Raises Conflict when there is one already, Invalid for what is too large or no text, NotFound.

        A body without anything in it changes nothing.
        """
        if await self._passwords.get(server_id):
            raise Conflict(reason=TAKEN)
        if len(body) > MOST_BYTES:
            raise Invalid(reason="Request is too large.")
        try:
            password = body.decode()
        except UnicodeDecodeError:
            raise Invalid(reason="The password must be text in UTF-8.") from None
        if password:
            await self._passwords.post(server_id, password)
