"""One step of a server's life in the database: a conditional UPDATE and a history row, by the table of novaflow.states.

Whoever moves a server names the task it works for. `move` changes nothing when the server belongs to another task
by now, or is on another host than the worker thinks: it raises TaskSuperseded, and the worker cleans up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, func, insert, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Update

from novaflow.db import booked_volumes, consequences, tasks
from novaflow.db.inserts import insert_once
from novaflow.db.schema.compute import server_history, servers
from novaflow.db.standing import Standing, lock, release_all, release_host
from novaflow.errors import TaskSuperseded
from novaflow.models import Address, Fault
from novaflow.states import ENDINGS, MOVES, RULES, Event, Power, State, Vm, advance, state_of

_FAILURES: Final = frozenset({Event.FAILED, Event.BUILD_FAILED, Event.BROKEN})
_LEAVING: Final = frozenset({Event.RESCHEDULED, Event.BUILD_FAILED, Event.OFFLOADED, Event.UNSHELVE_UNPLACED})
_LAUNCHING: Final = frozenset({Event.SPAWNED, Event.REBUILT, Event.REBUILT_OFF, Event.UNSHELVED, Event.RESIZED})
_BEFORES: Final = {event: tuple(rule.before for rule in RULES if rule.event is event) for event in Event}
_SIMPLE: Final = (
    frozenset(event for event, befores in _BEFORES.items() if len(befores) == 1) - consequences.EVENTS - _LEAVING
)
"""Events that can only come from one state and have no consequence beyond the server's own row."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """What happened to a server, as told after the commit. `before` is None when it was made."""

    server_id: str
    task_id: str
    event: Event
    before: State | None
    after: State
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A transition that somebody wants. `row_id` names its history row, so that it is written once."""

    server_id: str
    task_id: str
    event: Event
    now: datetime
    row_id: str
    host: str | None = None  # only if the server is there
    told_by: str | None = None  # the host that says so; `host` where nothing is said
    power: Power | None = None
    fault: Fault | None = None
    addresses: tuple[Address, ...] | None = None
    is_unplaced: bool = False  # only if the server has no host
    takes_volumes: bool = False  # those that were booked for it


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The answer to a step: the server's state, and the transition unless the step had been made before."""

    state: State
    transition: Transition | None = None


def _moving(**changes: Any) -> Update:
    """The conditional UPDATE: only a server of this task, in this state, on this host."""
    is_ours = servers.c.task_id == bindparam("b_task_id")
    is_still = (servers.c.vm == bindparam("b_vm_before")) & (servers.c.task == bindparam("b_task_before"))
    host = bindparam("b_host", type_=servers.c.host.type)
    is_here = or_(host.is_(None), servers.c.host == host)
    moved: dict[str, Any] = {
        "vm": bindparam("b_vm"),
        "task": bindparam("b_task"),
        "task_id": bindparam("b_next_task_id"),
        "updated_at": bindparam("b_now"),
        "moved_at": bindparam("b_now"),
    }
    told = {name: _unless_null(name) for name in ("power", "fault", "addresses", "launched_at")}
    where = (servers.c.id == bindparam("b_id"), is_ours, is_still, is_here)
    return update(servers).where(*where).values({**moved, **told, **changes})


def _unless_null(name: str) -> Any:
    column = servers.c[name]
    return func.coalesce(bindparam(f"b_{name}", type_=column.type), column)


_STAY: Final = _moving()
_LEAVE: Final = _moving(host=null())
_GO: Final = _moving(is_deleted=True, deleted_at=bindparam("b_now"))
_HISTORY: Final = insert(server_history)
_RECORDED: Final = (
    select(server_history.c.vm_after, server_history.c.task_after, server_history.c.host)
    .where(
        server_history.c.server_id == bindparam("b_id"),
        server_history.c.task_id == bindparam("b_task_id"),
        server_history.c.event == bindparam("b_event"),
    )
    .order_by(server_history.c.id.desc())
    .limit(1)
)


async def move(connection: AsyncConnection, step: Step) -> Moved:
    """Make a step; one that was made before answers its state again.

    Raises TaskSuperseded when the server is not this task's (any more), IllegalTransition when the table
    has no row for the step.
    """
    if step.event in _SIMPLE and not step.is_unplaced:
        # Nothing need be read: the server can only come from one state, and the UPDATE sees whether it does.
        moved = await _try(connection, step, _BEFORES[step.event][0])
        if moved is not None:
            return moved
    return await move_locked(connection, step, await lock(connection, step.server_id))


async def move_along(connection: AsyncConnection, steps: Iterable[Step]) -> list[Moved]:
    """Make steps of one server, in this order. Raises as `move`."""
    return [await move(connection, step) for step in steps]


async def move_locked(connection: AsyncConnection, step: Step, server: Standing | None) -> Moved:
    """Make a step of a server whose row is locked."""
    if server is None or (step.is_unplaced and server.host is not None):
        raise TaskSuperseded(server_id=step.server_id, task_id=step.task_id)
    moved = await _try(connection, step, server.state) if (server.state, step.event) in MOVES else None
    if moved is None:
        return Moved(state=await _repeated(connection, step, server))
    await consequences.follow(connection, step.event, server, moved.state, step.now)
    if step.event is Event.DELETED:
        await release_all(connection, server)
    elif _leaves(step.event, server.state):
        await release_host(connection, server)
    return moved


def _leaves(event: Event, before: State) -> bool:
    """The server has no host afterwards: one that failed to leave the shelf is on it as before."""
    return event in _LEAVING or (event in _FAILURES and before.vm is Vm.SHELVED_OFFLOADED)


async def _try(connection: AsyncConnection, step: Step, before: State) -> Moved | None:
    """The step, if the server is where and whose the step says."""
    after = advance(before, step.event)
    settles = step.event in ENDINGS
    statement = _GO if step.event is Event.DELETED else _LEAVE if _leaves(step.event, before) else _STAY
    values = {
        "b_id": step.server_id,
        "b_task_id": step.task_id,
        "b_host": step.host,
        "b_vm_before": before.vm,
        "b_task_before": before.task,
        "b_vm": after.vm,
        "b_task": after.task,
        "b_next_task_id": None if settles else step.task_id,
        "b_now": step.now,
        "b_power": Power.NOSTATE if step.event is Event.DELETED else step.power,
        "b_fault": step.fault,
        "b_addresses": () if step.event is Event.DELETED else step.addresses,
        "b_launched_at": step.now if step.event in _LAUNCHING else None,
    }
    if (await connection.execute(statement, values)).rowcount == 0:
        return None
    transition = Transition(
        server_id=step.server_id,
        task_id=step.task_id,
        event=step.event,
        before=before,
        after=after,
        host=step.host or step.told_by,
    )
    await record(connection, [(step.row_id, transition)], step.now)
    if settles:
        outcome = tasks.ERROR if step.event in _FAILURES else tasks.DONE
        message = step.fault.message if step.fault else None
        await tasks.finish(connection, step.task_id, outcome, step.now, host=transition.host, message=message)
    elif step.fault:
        await tasks.note(connection, step.task_id, step.fault.message)
    if step.takes_volumes and step.host:
        await booked_volumes.take(connection, step.server_id, step.host, step.now)
    return Moved(state=after, transition=transition)


async def record(connection: AsyncConnection, rows: Iterable[tuple[str, Transition]], now: datetime) -> None:
    """Write history rows, each once however often its write runs."""
    values = [
        {
            "id": row_id,
            "server_id": transition.server_id,
            "task_id": transition.task_id,
            "event": transition.event,
            "vm_before": transition.before and transition.before.vm,
            "task_before": transition.before and transition.before.task,
            "vm_after": transition.after.vm,
            "task_after": transition.after.task,
            "host": transition.host,
            "created_at": now,
        }
        for row_id, transition in rows
    ]
    await insert_once(connection, _HISTORY, values if len(values) > 1 else values[0])


async def _repeated(connection: AsyncConnection, step: Step, server: Standing) -> State:
    """The state of a step that cannot be made, if the reason is that it was made before.

    While the task owns the server that is the server's state now. Once the task is over, the step that ended it
    led to the recorded state; any other late step must hear that it is over.
    """
    keys = {"b_id": step.server_id, "b_task_id": step.task_id, "b_event": step.event}
    recorded = (await connection.execute(_RECORDED, keys)).one_or_none()
    owns = server.task_id == step.task_id
    is_here = step.host in (None, server.host)
    if recorded is not None:
        if step.event in ENDINGS and step.host in (None, recorded.host):
            return state_of(recorded.vm_after, recorded.task_after)
        if owns and (is_here or recorded.host == step.host):
            return server.state
    if owns and is_here:
        return advance(server.state, step.event)
    raise TaskSuperseded(server_id=step.server_id, task_id=step.task_id)
