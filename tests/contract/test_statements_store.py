"""The database server's own count of what it ran."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Database as Settings
from novaflow.db.database import Database
from novaflow.db.statements import KINDS, counted


async def test_statements_are_counted_by_kind(mariadb_url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("CREATE TEMPORARY TABLE things (id INT)"))
        await connection.execute(text("INSERT INTO things VALUES (1)"))
        await connection.execute(text("UPDATE things SET id = 2"))

    database = await Database.open(mariadb_url, Settings())
    await database.write(
        lambda connection: connection.execute(text("SELECT 1"))
    )  # what connecting takes is not counted
    before = await counted(database)
    await database.write(work)
    after = await counted(database)
    await database.close()

    assert set(before) == set(KINDS)
    assert {kind: after[kind] - before[kind] for kind in ("insert", "update", "delete", "commit")} == {
        "insert": 1,
        "update": 1,
        "delete": 0,
        "commit": 1,
    }
