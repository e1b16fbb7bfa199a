"""Signatures of changes that were made, so that none is good for two: of all processes that hear one, one takes it."""

from datetime import timedelta
from typing import Final

from sqlalchemy import bindparam, delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db.database import Database
from novaflow.db.inserts import insert_once
from novaflow.db.schema.ec2 import ec2_signatures

_USE: Final = insert(ec2_signatures)
_FORGET: Final = delete(ec2_signatures).where(ec2_signatures.c.digest == bindparam("b_digest"))
_EXPIRE: Final = delete(ec2_signatures).where(ec2_signatures.c.until < bindparam("b_now"))
_EXPIRE_EVERY: Final = 3600.0  # seconds


class Ec2Signatures:
    """Digests of signatures, each kept for as long as it could be good."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._next_expiry = clock.monotonic()

    async def use(self, digest: str, lasts: timedelta) -> bool:
        """Take a signature, which counts for so long; False when it is taken."""
        await self._expire()
        row = {"digest": digest, "until": self._clock.now() + lasts}

        async def work(connection: AsyncConnection) -> bool:
            return await insert_once(connection, _USE, row)

        return await self._db.write(work)

    async def forget(self, digest: str) -> None:
        """Give a signature back: nothing was done for it."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_FORGET, {"b_digest": digest})

        await self._db.write(work)

    async def _expire(self) -> None:
        """Now and then forget those that are refused by their date."""
        if self._clock.monotonic() < self._next_expiry:
            return
        self._next_expiry = self._clock.monotonic() + _EXPIRE_EVERY
        now = self._clock.now()

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_EXPIRE, {"b_now": now})

        await self._db.write(work)
