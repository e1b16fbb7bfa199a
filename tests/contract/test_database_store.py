"""Trouble on the way to the database: what passes is retried, and nothing is applied twice."""

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow import config
from novaflow.db.database import Database
from novaflow.db.migrate import upgrade
from novaflow.db.schema.compute import usages
from novaflow.db.servers import Servers
from novaflow.errors import ServiceUnavailable
from novaflow.quotas import Usage
from novaflow.states import Event
from services.private.mariadb import PrivateMariaDB
from tests.support.clocks import ManualClock
from tests.support.cloud_records import (
    ALICE,
    NOW,
    PLENTY,
    RATIOS,
    Records,
    draft,
    request,
    spec_of,
    task_of,
)
from tests.support.stores import SETTINGS

ROW = {"project_id": "p", "user_id": "", "instances": 0, "cores": 0, "ram": 0, "key_pairs": 0}
COUNT = text("UPDATE usages SET instances = instances + 1 WHERE project_id = 'p'")
READ = text("SELECT instances FROM usages WHERE project_id = 'p'")


async def counted(database: Database) -> Any:
    return await database.read(lambda connection: connection.scalar(READ))


@pytest.fixture
async def counter(database: Database) -> Database:
    """A database with one row that counts."""
    await database.write(lambda connection: connection.execute(usages.insert().values(ROW)))
    return database


async def count(connection: AsyncConnection) -> None:
    await connection.execute(COUNT)


async def test_an_exception_rolls_back(counter: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        await count(connection)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await counter.write(work)

    assert await counted(counter) == 0
    await counter.write(count)
    assert await counted(counter) == 1


async def test_writes_at_once_are_all_applied(counter: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        before = await connection.scalar(READ)
        await count(connection)
        assert (await connection.scalar(READ) or 0) > (before or 0)

    await asyncio.gather(*(counter.write(work) for _ in range(30)))

    assert await counted(counter) == 30


async def test_an_update_that_changes_nothing_still_counts_as_matched(counter: Database) -> None:
    same = text("UPDATE usages SET instances = instances WHERE project_id = 'p'")

    assert (await counter.write(lambda connection: connection.execute(same))).rowcount == 1


async def test_a_cancelled_write_leaves_nothing_and_the_next_goes_through(counter: Database) -> None:
    started = asyncio.Event()

    async def work(connection: AsyncConnection) -> None:
        await count(connection)
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(counter.write(work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await counter.write(count)
    assert await counted(counter) == 1


async def test_a_connection_whose_user_is_cancelled_twice_is_closed_with_the_database(store_url: str) -> None:
    database = await Database.open(store_url, SETTINGS)
    started = asyncio.Event()

    async def work(_: AsyncConnection) -> None:
        started.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    task = asyncio.create_task(database.write(work))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.close()

    assert asyncio.all_tasks() == before


async def test_work_that_takes_too_long_is_given_up(store_url: str) -> None:
    database = await Database.open(store_url, msgspec.structs.replace(SETTINGS, statement_timeout=0.05))

    async def work(_: AsyncConnection) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ServiceUnavailable, match="did not answer in time"):
        await database.write(work)
    await database.close()


async def test_no_error_tells_the_parameters(counter: Database) -> None:
    secret = text("INSERT INTO usages (project_id, user_id) VALUES (:a, :b)")

    with pytest.raises(Exception, match="usages") as failed:
        await counter.write(lambda connection: connection.execute(secret, {"a": "hush-hush", "b": "x"}))

    assert "hush-hush" not in str(failed.value)


# Only a server can lose a connection..


async def own_id(connection: AsyncConnection) -> int:
    found: int = await connection.scalar(text("SELECT CONNECTION_ID()"))
    return found


async def kill(url: str, connection_id: int) -> None:
    """End a session of the server from another one."""
    killer = await Database.open(url, SETTINGS)
    await killer.write(lambda connection: connection.execute(text(f"KILL {connection_id}")))
    await killer.close()


@pytest.fixture
async def maria(migrated_mariadb: str) -> Any:
    """The MariaDB side alone, with the row that counts."""
    database = await Database.open(migrated_mariadb, SETTINGS)
    await database.write(lambda connection: connection.execute(usages.delete()))
    await database.write(lambda connection: connection.execute(usages.insert().values(ROW)))
    yield database
    await database.close()


async def test_a_connection_killed_in_the_middle_of_a_transaction_is_replaced(
    maria: Database, migrated_mariadb: str
) -> None:
    attempts = 0

    async def work(connection: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        await count(connection)
        if attempts == 1:
            await kill(migrated_mariadb, await own_id(connection))
        await connection.execute(READ)

    await maria.write(work)

    assert (attempts, await counted(maria)) == (2, 1)


async def test_all_idle_connections_may_be_gone(maria: Database, migrated_mariadb: str) -> None:
    seen: set[int] = set()

    async def work(connection: AsyncConnection) -> None:
        seen.add(await own_id(connection))
        await asyncio.sleep(0.05)

    await asyncio.gather(*(maria.read(work) for _ in range(6)))
    assert len(seen) == 6
    for connection_id in seen:
        await kill(migrated_mariadb, connection_id)

    assert await counted(maria) == 0


async def test_two_that_lock_each_other_out_both_get_through(maria: Database) -> None:
    other = {**ROW, "project_id": "q"}
    await maria.write(lambda connection: connection.execute(usages.insert().values(other)))
    both = asyncio.Barrier(2)
    attempts = 0

    async def work(connection: AsyncConnection, first: str, second: str) -> None:
        nonlocal attempts
        attempts += 1
        step = "UPDATE usages SET instances = instances + 1 WHERE project_id = '{}'"
        await connection.execute(text(step.format(first)))
        if attempts <= 2:
            await both.wait()
        await connection.execute(text(step.format(second)))

    await asyncio.gather(
        maria.write(lambda connection: work(connection, "p", "q")),
        maria.write(lambda connection: work(connection, "q", "p")),
    )

    assert (attempts, await counted(maria)) == (3, 2)


async def test_a_budget_that_is_spent_says_so(migrated_mariadb: str) -> None:
    database = await Database.open(migrated_mariadb, config.Database(retries=1))

    async def work(connection: AsyncConnection) -> None:
        await kill(migrated_mariadb, await own_id(connection))
        await connection.execute(READ)

    with pytest.raises(ServiceUnavailable, match="2 times"):
        await database.write(work)
    await database.close()


class Forgetful(Database):
    """A database whose first commit succeeds, and whose answer to it is lost with the connection."""

    lost = 0

    async def write(self, work: Any) -> Any:
        """As the real one; the work runs again although it was applied."""

        async def twice(connection: AsyncConnection) -> Any:
            answer = await work(connection)
            if not self.lost:
                self.lost += 1
                await connection.commit()
                raise ConnectionResetError("after the commit")
            return answer

        return await super().write(twice)


@pytest.fixture
async def forgetful(store_url: str) -> Any:
    """The same on SQLite and on MariaDB."""
    database = await Forgetful.open(store_url, SETTINGS)
    yield database
    await database.close()


async def test_a_create_whose_answer_was_lost_is_applied_once(forgetful: Forgetful, records: Records) -> None:
    servers = Servers(forgetful, ManualClock(NOW))

    made = await servers.create(ALICE, [draft("a"), draft("b", launch_index=1)], PLENTY)

    assert forgetful.lost == 1
    assert [await records.servers.get(server.id) for server in made] == made
    assert await records.quotas.usage("p1", "alice") == Usage(instances=2, cores=2, ram=1024)
    assert len(await records.history(made[0].id)) == len(await records.servers.actions(made[0].id)) == 1


async def test_an_order_whose_answer_was_lost_is_applied_once(forgetful: Forgetful, records: Records) -> None:
    await records.host()
    server = await records.active()

    ordered = await Servers(forgetful, ManualClock(NOW)).order(request(2), server, "stop", Event.STOP_ORDERED)

    assert ordered == await records.servers.get(server.id)
    assert forgetful.lost == 1
    assert [event for event, _ in await records.history(server.id)].count(Event.STOP_ORDERED) == 1
    assert len(await records.servers.actions(server.id)) == 2


@pytest.mark.parametrize("event", [Event.SPAWNED, Event.RESCHEDULED, Event.BUILD_STARTED, Event.BUILD_FAILED])
async def test_a_report_whose_answer_was_lost_is_applied_once(
    forgetful: Forgetful, records: Records, event: Event
) -> None:
    await records.host()
    server = await records.spawning()
    before = [written for written, _ in await records.history(server.id)].count(event)

    state = await Servers(forgetful, ManualClock(NOW)).advance(server.id, task_of(server), event, host="c1")

    assert state == (await records.servers.get(server.id)).state
    assert forgetful.lost == 1
    assert [written for written, _ in await records.history(server.id)].count(event) == before + 1
    leaves = event in (Event.RESCHEDULED, Event.BUILD_FAILED)
    assert await records.used() == ((0, 0, 0, 0) if leaves else (1, 1, 512, 1))


async def test_a_claim_and_deletes_whose_answers_were_lost_are_applied_once(
    forgetful: Forgetful, records: Records
) -> None:
    servers = Servers(forgetful, ManualClock(NOW))
    await records.host()
    server = await records.made()

    assert await servers.claim(server.id, task_of(server), "c1", spec_of(server), RATIOS)
    assert await records.used() == (1, 1, 512, 1)

    forgetful.lost = 0
    await servers.delete_locally(request(2), server)
    assert await records.used() == (0, 0, 0, 0)
    assert await records.quotas.usage("p1", "alice") == Usage()


async def test_a_server_that_restarts_is_waited_for(own_mariadb: PrivateMariaDB) -> None:

    await upgrade(own_mariadb.url)
    database = await Database.open(own_mariadb.url, SETTINGS)
    await database.write(lambda connection: connection.execute(usages.insert().values(ROW)))

    await own_mariadb.kill9()
    waiting = asyncio.gather(*(database.write(count) for _ in range(4)), counted(database))
    await own_mariadb.start()
    await waiting

    assert await counted(database) == 4
    await database.close()
