"""How many statements a database server has run, by its own counters, for measurements."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Database as Settings
from novaflow.db.database import Database

KINDS: Final = ("select", "insert", "update", "delete", "commit", "rollback")
_COUNTERS: Final = text(
    "SHOW GLOBAL STATUS WHERE Variable_name IN (" + ", ".join(f"'Com_{kind}'" for kind in KINDS) + ")"
)


async def counted(url: str) -> dict[str, int]:
    """Statements by kind since the MariaDB server at `url` started. Everybody's, so measure where nobody else works."""
    database = await Database.open(url, Settings())

    async def work(connection: AsyncConnection) -> dict[str, int]:
        rows = await connection.execute(_COUNTERS)
        return {str(name).removeprefix("Com_"): int(value) for name, value in rows}

    try:
        return await database.read(work)
    finally:
        await database.close()
