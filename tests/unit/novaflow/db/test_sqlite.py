import asyncio
from pathlib import Path

from novaflow.db import sqlite


async def test_a_connection_that_is_stopped_while_it_is_closed_ends(tmp_path: Path) -> None:
    connection = await sqlite.connect(str(tmp_path / "x.db"))

    stopped = connection.stop()
    closing = asyncio.gather(connection.close(), return_exceptions=True)

    await asyncio.wait_for(closing, 10)
    assert stopped is not None
    assert stopped.done()
