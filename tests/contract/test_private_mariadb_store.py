"""The MariaDB of our own."""

import socket
import stat
from pathlib import Path

from sqlalchemy import text

from novaflow.db.database import Database
from services.private.mariadb import PrivateMariaDB
from tests.support.stores import SETTINGS


async def test_what_was_committed_survives_a_kill(own_mariadb: PrivateMariaDB) -> None:
    database = await Database.open(own_mariadb.url, SETTINGS)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE t (a INT PRIMARY KEY)")))
    await database.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (7)")))

    await own_mariadb.kill9()
    assert own_mariadb.pid is None
    await own_mariadb.start()

    assert await database.read(lambda connection: connection.scalar(text("SELECT a FROM t"))) == 7
    await database.close()


async def test_it_listens_on_loopback_only_and_leaves_no_password_about(own_mariadb: PrivateMariaDB) -> None:
    database = await Database.open(own_mariadb.url, SETTINGS)
    bound = await database.read(lambda connection: connection.scalar(text("SELECT @@bind_address")))
    root = Path(await database.read(lambda connection: connection.scalar(text("SELECT @@datadir")))).parent
    await database.close()
    password = own_mariadb.url.split(":")[2].split("@")[0]

    assert bound == "127.0.0.1"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert password not in Path(f"/proc/{own_mariadb.pid}/cmdline").read_text()
    assert not [path for path in root.iterdir() if path.is_file() and password in path.read_text(errors="replace")]


async def test_its_temporary_files_are_its_own(own_mariadb: PrivateMariaDB) -> None:
    database = await Database.open(own_mariadb.url, SETTINGS)
    read = await database.read(lambda connection: connection.execute(text("SELECT @@tmpdir, @@datadir")))
    await database.close()

    ((tmpdir, datadir),) = read.all()
    assert Path(tmpdir) == Path(datadir).parent / "tmp"


async def test_data_is_found_again_by_the_next_server_in_the_same_place(tmp_path: Path) -> None:
    for expected in (1, 2):
        async with PrivateMariaDB(tmp_path / "mariadb", durable=False) as server:
            database = await Database.open(server.url, SETTINGS)
            await database.write(
                lambda connection: connection.execute(
                    text("CREATE TABLE IF NOT EXISTS t (a INT AUTO_INCREMENT PRIMARY KEY)")
                )
            )
            await database.write(lambda connection: connection.execute(text("INSERT INTO t VALUES ()")))
            rows = await database.read(lambda connection: connection.scalar(text("SELECT COUNT(*) FROM t")))
            await database.close()
            assert rows == expected
            port = server.port
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", port)) != 0


async def test_starting_what_runs_changes_nothing(own_mariadb: PrivateMariaDB) -> None:
    pid = own_mariadb.pid

    await own_mariadb.start()

    assert own_mariadb.pid == pid
