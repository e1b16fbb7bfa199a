"""Client tokens: of many requests that bring one token, one makes servers and the others are told which.

The token is recorded in the transaction that makes the servers, so there is never one without the other.
"""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.inserts import insert_once
from novaflow.db.schema.ec2 import ec2_client_tokens
from novaflow.models import ClientToken

_FIND: Final = select(ec2_client_tokens.c.digest, ec2_client_tokens.c.reservation_id).where(
    ec2_client_tokens.c.project_id == bindparam("b_project"), ec2_client_tokens.c.token == bindparam("b_token")
)
_OF_RESERVATIONS: Final = select(ec2_client_tokens.c.reservation_id, ec2_client_tokens.c.token).where(
    ec2_client_tokens.c.project_id == bindparam("b_project"),
    ec2_client_tokens.c.reservation_id.in_(bindparam("b_some", expanding=True)),
)
_TAKE: Final = insert(ec2_client_tokens)


class TokenTaken(Exception):
    """Servers were made with this token already."""


class ClientTokens:
    """The tokens that were used, by project."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(self, project_id: str, token: str) -> tuple[ClientToken, str] | None:
        """The token as it was first used, and the reservation that was made with it; None if it never was."""
        return await self._db.read(partial(_find, project_id=project_id, token=token))

    async def of_reservations(self, project_id: str, reservation_ids: Collection[str]) -> dict[str, str]:
        """By reservation the token that it was made with, where there was one."""
        asked = {"b_project": project_id, "b_some": list(reservation_ids)}

        async def work(connection: AsyncConnection) -> dict[str, str]:
            rows = await connection.execute(_OF_RESERVATIONS, asked)
            return {row.reservation_id: row.token for row in rows}

        return await self._db.read(work) if reservation_ids else {}


async def take(
    connection: AsyncConnection, project_id: str, once: ClientToken, reservation_id: str, now: datetime
) -> None:
    """Use a token for these servers; raises TokenTaken when it was used for others."""
    row = {
        "project_id": project_id,
        "token": once.token,
        "digest": once.digest,
        "reservation_id": reservation_id,
        "created_at": now,
    }
    if await insert_once(connection, _TAKE, row):
        return
    used = await _find(connection, project_id, once.token)
    if used is None or used[1] != reservation_id:  # else this transaction runs again
        raise TokenTaken


async def _find(connection: AsyncConnection, project_id: str, token: str) -> tuple[ClientToken, str] | None:
    row = (await connection.execute(_FIND, {"b_project": project_id, "b_token": token})).one_or_none()
    return None if row is None else (ClientToken(token=token, digest=row.digest), row.reservation_id)
