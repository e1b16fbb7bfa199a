"""How many statements a database server has run, by its own counters, for measurements."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database

KINDS: Final = ("select", "insert", "update", "delete", "commit", "rollback")
_COUNTERS: Final = text(
    "SHOW GLOBAL STATUS WHERE Variable_name IN (" + ", ".join(f"'Com_{kind}'" for kind in KINDS) + ")"
)


async def counted(database: Database) -> dict[str, int]:
    """Statements by kind since the MariaDB server started. Everybody's, so measure where nobody else works."""

    async def work(connection: AsyncConnection) -> dict[str, int]:
        rows = await connection.execute(_COUNTERS)
        return {str(name).removeprefix("Com_"): int(value) for name, value in rows}

    return await database.read(work)
