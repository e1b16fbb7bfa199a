"""The rows of tasks: who ordered what of which server, how it went, and which have stopped moving.

A running task is alive as long as its server moves or somebody renews it. Of several that would take
up a task again, one wins: the UPDATE is conditional on the sign of life that was seen.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.records import SERVER_COLUMNS, TASK_COLUMNS, server_of, task_of
from novaflow.db.schema.compute import server_history, servers, tasks
from novaflow.models import Context, Server, Value
from novaflow.steps import Move, steps_of
from novaflow.tasks import TaskEvent, TaskRecord

RUNNING: Final = "running"
DONE: Final = "done"
ERROR: Final = "error"
SUPERSEDED: Final = "superseded"


class StaleTask(Value, frozen=True, kw_only=True):
    """A running task without a sign of life since `task.updated_at`, and its server."""

    server: Server
    task: TaskRecord


_PATIENCE: Final = 8  # orders after which a task's lease doubles no more


def _silent_after(orders: int) -> ColumnElement[bool]:
    """That a task that was ordered so often is silent for its lease."""
    is_ordered = tasks.c.attempts == orders if orders < _PATIENCE else tasks.c.attempts >= orders
    before = bindparam(f"b_before_{orders}", type_=tasks.c.moved_at.type)
    return and_(is_ordered, tasks.c.moved_at < before, servers.c.moved_at < before)


_INSERT: Final = insert(tasks)
_FINISH: Final = (
    update(tasks)
    .where(tasks.c.id == bindparam("b_id"), tasks.c.state == RUNNING)
    .values(
        state=bindparam("b_state"),
        message=bindparam("b_message"),
        host=func.coalesce(bindparam("b_host", type_=tasks.c.host.type), tasks.c.host),
        moved_at=bindparam("b_now"),
        finished_at=bindparam("b_now"),
    )
)
_NOTE: Final = update(tasks).where(tasks.c.id == bindparam("b_id")).values(message=bindparam("b_message"))
_SUPERSEDE: Final = (
    update(tasks)
    .where(tasks.c.id == bindparam("b_id"), tasks.c.state == RUNNING)
    .values(state=SUPERSEDED, moved_at=bindparam("b_now"), finished_at=bindparam("b_now"))
)
_STALE: Final = (
    select(*TASK_COLUMNS, servers.c.moved_at, *SERVER_COLUMNS)
    .join_from(tasks, servers, servers.c.id == tasks.c.server_id)
    .where(
        tasks.c.state == RUNNING,
        tasks.c.moved_at < bindparam("b_before"),
        servers.c.moved_at < bindparam("b_before"),
        or_(*(_silent_after(orders) for orders in range(1, _PATIENCE + 1))),
    )
    .order_by(tasks.c.moved_at, tasks.c.id)
    .limit(bindparam("b_limit"))
)
_RENEW: Final = (
    update(tasks)
    .where(tasks.c.id.in_(bindparam("b_ids", expanding=True)), tasks.c.state == RUNNING)
    .values(moved_at=bindparam("b_now"))
)
_RETAKE: Final = (
    update(tasks)
    .where(
        tasks.c.id == bindparam("b_id"),
        tasks.c.state == RUNNING,
        tasks.c.moved_at <= bindparam("b_seen"),
        ~exists().where(servers.c.id == tasks.c.server_id, servers.c.moved_at > bindparam("b_seen")),
    )
    .values(attempts=tasks.c.attempts + 1, moved_at=bindparam("b_now"))
)
_OF_SERVER: Final = (
    select(*TASK_COLUMNS)
    .where(tasks.c.server_id == bindparam("b_id"))
    .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
)
_OF_REQUEST: Final = _OF_SERVER.where(tasks.c.request_id == bindparam("b_request_id")).limit(1)
_ONE: Final = select(*TASK_COLUMNS).where(tasks.c.id == bindparam("b_id"))
_MOVES: Final = (
    select(server_history.c.event, server_history.c.host, server_history.c.created_at)
    .where(server_history.c.server_id == bindparam("b_id"), server_history.c.task_id == bindparam("b_task_id"))
    .order_by(server_history.c.id)
)


def row_of(context: Context, server_id: str, task_id: str, action: str, now: datetime, **more: Any) -> dict[str, Any]:
    """The row of a new task: running, first attempt."""
    return {
        "id": task_id,
        "server_id": server_id,
        "action": action,
        "request_id": context.request_id,
        "user_id": context.user_id,
        "project_id": context.project_id,
        "state": RUNNING,
        "attempts": 1,
        "host": None,
        "message": None,
        "params": None,
        "created_at": now,
        "moved_at": now,
        "finished_at": None,
    } | more


async def add(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of new tasks."""
    await connection.execute(_INSERT, rows if len(rows) > 1 else rows[0])


async def finish(
    connection: AsyncConnection, task_id: str, state: str, now: datetime, *, host: str | None, message: str | None
) -> None:
    """The task is over."""
    values = {"b_id": task_id, "b_state": state, "b_now": now, "b_host": host, "b_message": message}
    await connection.execute(_FINISH, values)


async def note(connection: AsyncConnection, task_id: str, message: str) -> None:
    """What went wrong with a task that goes on."""
    await connection.execute(_NOTE, {"b_id": task_id, "b_message": message})


async def supersede(connection: AsyncConnection, task_id: str | None, now: datetime) -> None:
    """Another task takes over, if one was running at all."""
    if task_id is not None:
        await connection.execute(_SUPERSEDE, {"b_id": task_id, "b_now": now})


async def stale(connection: AsyncConnection, before: datetime, limit: int, lease: timedelta) -> list[StaleTask]:
    """Running tasks without a sign of life since `before`, the longest silent first.

    `before` is for those that were ordered once. Another `lease` earlier it is for those ordered twice, and with each order it doubles.
    """
    befores = {f"b_before_{orders}": before - lease * (2 ** (orders - 1) - 1) for orders in range(1, _PATIENCE + 1)}
    rows = await connection.execute(_STALE, {"b_before": before, "b_limit": limit, **befores})
    return [_stale_of(tuple(row)) for row in rows]


def _stale_of(row: tuple[Any, ...]) -> StaleTask:
    split = len(TASK_COLUMNS)
    task = task_of(row[:split])
    seen: datetime = max(task.updated_at, row[split])
    return StaleTask(task=msgspec.structs.replace(task, updated_at=seen), server=server_of(row[split + 1 :]))


async def renew(connection: AsyncConnection, task_ids: Sequence[str], now: datetime) -> None:
    """A sign of life of these tasks."""
    await connection.execute(_RENEW, {"b_ids": list(task_ids), "b_now": now})


async def retake(connection: AsyncConnection, task_id: str, seen: datetime, now: datetime) -> bool:
    """Take up a task again; False when it is over, or showed a sign of life after `seen`."""
    values = {"b_id": task_id, "b_seen": seen, "b_now": now}
    return (await connection.execute(_RETAKE, values)).rowcount == 1


async def get(connection: AsyncConnection, task_id: str) -> TaskRecord | None:
    """One task."""
    row = (await connection.execute(_ONE, {"b_id": task_id})).one_or_none()
    return None if row is None else task_of(row)


async def of_server(connection: AsyncConnection, server_id: str) -> list[TaskRecord]:
    """Every task of a server, newest first."""
    return [task_of(row) for row in await connection.execute(_OF_SERVER, {"b_id": server_id})]


async def of_request(connection: AsyncConnection, server_id: str, request_id: str) -> TaskRecord | None:
    """What one request ordered of a server."""
    row = (await connection.execute(_OF_REQUEST, {"b_id": server_id, "b_request_id": request_id})).one_or_none()
    return None if row is None else task_of(row)


async def steps(connection: AsyncConnection, task: TaskRecord) -> list[TaskEvent]:
    """What the hosts did for a task, oldest first."""
    rows = await connection.execute(_MOVES, {"b_id": task.server_id, "b_task_id": task.id})
    return steps_of(task, [Move(event=event, host=host, at=at) for event, host, at in rows])
