"""Accepting an API action on a server: one task per server, guarded by the table of novaflow.states.

What an action was asked with is kept with its task, so that it can be ordered again by whoever finds it. An order that the table allows while another task runs takes that task's place (delete always, a hard
reboot that of a soft one); the old task is superseded and its worker finds out at its next write.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow import guards
from novaflow.db import consequences, tasks, volumes
from novaflow.db.ids import new_uuid, row_id
from novaflow.db.schema.compute import servers
from novaflow.db.standing import Standing, counts, lock, release_all
from novaflow.db.transitions import Transition, record
from novaflow.errors import NotFound
from novaflow.models import Context, Server
from novaflow.states import ACTIONS, MOVES, Event, Power, State, advance
from novaflow.tasks import TaskParams
from novaflow.volumes import MOVES as MOVING

DELETE: Final = "delete"
NO_PARAMS: Final = TaskParams()
_NONE: Final = ""


@dataclass(frozen=True)
class Order:
    """An action about to be accepted, with all identifiers it will have."""

    context: Context
    server_id: str
    action: str
    event: Event
    now: datetime
    task_id: str
    row_ids: tuple[str, str]
    params: TaskParams = NO_PARAMS
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the server's own columns
    accompany: "Accompany | None" = None


Accompany = Callable[[AsyncConnection, Order], Awaitable[TaskParams]]
"""What else is written with an accepted order, the server's row being locked; answers the parameters of the task. May raise, and
then nothing is accepted."""


@dataclass(frozen=True)
class Accepted:
    """An order was accepted. `server` is the server afterwards, when that is known without reading it again."""

    transitions: Sequence[Transition] = ()
    server: Server | None = None


@dataclass(frozen=True)
class _Before:
    """What the conditional UPDATE expects to find."""

    state: State
    task_id: str | None
    host: str | None


def plan(context: Context, server_id: str, action: str, event: Event, now: datetime, **more: Any) -> Order:
    """Decide identifiers, so that writing the order twice is recognised. `more` are further fields of the order."""
    return Order(context, server_id, action, event, now, new_uuid(), (row_id(now), row_id(now)), **more)


_WHERE: Final = (
    servers.c.id == bindparam("b_id"),
    servers.c.vm == bindparam("b_vm_before"),
    servers.c.task == bindparam("b_task_before"),
    func.coalesce(servers.c.task_id, _NONE) == bindparam("b_old_task_id"),
    func.coalesce(servers.c.host, _NONE) == bindparam("b_host"),
)
_MOVED: Final[dict[str, Any]] = {
    "vm": bindparam("b_vm"),
    "task": bindparam("b_task"),
    "updated_at": bindparam("b_now"),
    "moved_at": bindparam("b_now"),
}
_ORDER: Final = update(servers).where(*_WHERE).values(_MOVED | {"task_id": bindparam("b_task_id")})
_SETTLE: Final = update(servers).where(servers.c.id == bindparam("b_id")).values(_MOVED | {"task_id": None})
_DELETE: Final = (
    update(servers)
    .where(servers.c.id == bindparam("b_id"))  # locked and looked at by then
    .values(
        _MOVED
        | {
            "task_id": None,
            "power": Power.NOSTATE,
            "addresses": (),
            "is_deleted": True,
            "deleted_at": bindparam("b_now"),
        }
    )
)


async def accept(connection: AsyncConnection, order: Order, seen: Server) -> Accepted:
    """Give the server to the order's task. `seen` is the server as the caller read it, and mostly still true.

    Raises WrongState when the server's state does not allow the action, Locked, NeverActive, NotFound when it is gone, Conflict for a move of
    a server that has volumes.
    """
    _guard_seen(order, seen)
    as_seen = _Before(seen.state, seen.task_id, seen.host)
    if (
        (seen.state, order.event) in MOVES
        and not _uncounts(seen.state, order.event)
        and await _take(connection, order, as_seen)
    ):
        return Accepted(transitions=await _accepted(connection, order, as_seen), server=_after(order, seen))
    server = await _ordered(connection, order)
    if server is None:
        return Accepted()
    guards.refuse_state(order.server_id, server.state, order.action, order.event)
    before = _Before(server.state, server.task_id, server.host)
    await _take(connection, order, before)
    accepted = await _accepted(connection, order, before)
    if _uncounts(server.state, order.event):
        await consequences.recount(connection, server, advance(server.state, order.event))
    return Accepted(transitions=accepted)


def _uncounts(before: State, event: Event) -> bool:
    """A restore that is cut short by a delete has reserved its quota already."""
    return counts(before) and not counts(advance(before, event))


async def delete_here(connection: AsyncConnection, order: Order, *, on_host: bool) -> Sequence[Transition] | None:
    """Delete a server without its compute host, in one step; None when it is on one and `on_host` is not allowed.

    Raises NotFound when it is gone.
    """
    server = await _ordered(connection, order)
    if server is None:
        return ()
    if server.host is not None and not on_host:
        return None
    deleting = advance(server.state, Event.DELETE_ORDERED)
    gone = advance(deleting, Event.DELETED)
    await connection.execute(
        _DELETE, {"b_id": order.server_id, "b_vm": gone.vm, "b_task": gone.task, "b_now": order.now}
    )
    await _over_at_once(connection, order, server)
    steps = (
        _transition(order, Event.DELETE_ORDERED, server.state, deleting, server.host),
        _transition(order, Event.DELETED, deleting, gone, server.host),
    )
    await record(connection, tuple(zip(order.row_ids, steps, strict=True)), order.now)
    await consequences.follow(connection, Event.DELETED, server, gone, order.now)
    await release_all(connection, server)
    return steps


async def settle_here(connection: AsyncConnection, order: Order) -> Sequence[Transition]:
    """Carry out an order that needs no worker (os-resetState): the server is in the new state, and nobody's. Raises NotFound.

    A move that was under way is over: what it held on other hosts is given back.
    """
    server = await _ordered(connection, order)
    if server is None:
        return ()
    after = advance(server.state, order.event)
    await connection.execute(
        _SETTLE, {"b_id": order.server_id, "b_vm": after.vm, "b_task": after.task, "b_now": order.now}
    )
    if order.changes:
        await connection.execute(update(servers).where(servers.c.id == order.server_id).values(**order.changes))
    await _over_at_once(connection, order, server)
    step = _transition(order, order.event, server.state, after, server.host)
    await record(connection, [(order.row_ids[0], step)], order.now)
    await consequences.recount(connection, server, after)
    await consequences.give_up(connection, server, order.now)
    return (step,)


async def _over_at_once(connection: AsyncConnection, order: Order, server: Standing) -> None:
    """Whatever task ran is superseded by this one, which is done."""
    await tasks.supersede(connection, server.task_id, order.now)
    over = {"state": tasks.DONE, "finished_at": order.now, "host": server.host}
    row = tasks.row_of(order.context, order.server_id, order.task_id, order.action, order.now, **over)
    await tasks.add(connection, [row])


async def _take(connection: AsyncConnection, order: Order, before: _Before) -> bool:
    after = advance(before.state, order.event)
    values = {
        "b_id": order.server_id,
        "b_vm_before": before.state.vm,
        "b_task_before": before.state.task,
        "b_old_task_id": before.task_id or _NONE,
        "b_host": before.host or _NONE,
        "b_vm": after.vm,
        "b_task": after.task,
        "b_task_id": order.task_id,
        "b_now": order.now,
    }
    return (await connection.execute(_ORDER, values)).rowcount == 1


async def _accepted(connection: AsyncConnection, order: Order, before: _Before) -> Sequence[Transition]:
    await tasks.supersede(connection, before.task_id, order.now)
    if order.changes:
        await connection.execute(update(servers).where(servers.c.id == order.server_id).values(**order.changes))
    if order.event in MOVING:
        await volumes.refuse_move(connection, order.server_id)
    await consequences.begin(connection, order.event, order.server_id, order.now)
    params = await order.accompany(connection, order) if order.accompany else order.params
    more = {"host": before.host, "params": None if params == NO_PARAMS else params}
    row = tasks.row_of(order.context, order.server_id, order.task_id, order.action, order.now, **more)
    await tasks.add(connection, [row])
    step = _transition(order, order.event, before.state, advance(before.state, order.event), before.host)
    await record(connection, [(order.row_ids[0], step)], order.now)
    return (step,)


async def _ordered(connection: AsyncConnection, order: Order) -> Standing | None:
    """The server, locked; None when an earlier try whose outcome was not known has been committed after all. Raises NotFound."""
    server = await lock(connection, order.server_id)
    if await tasks.get(connection, order.task_id) is not None:
        return None
    if server is None or server.is_deleted:
        raise NotFound(kind="Instance", key=order.server_id)
    return server


def _after(order: Order, seen: Server) -> Server:
    state = advance(seen.state, order.event)
    changes = dict(order.changes) | {
        "vm": state.vm,
        "task": state.task,
        "task_id": order.task_id,
        "updated_at": order.now,
    }
    return msgspec.structs.replace(seen, **changes)


def _transition(order: Order, event: Event, before: State, after: State, host: str | None) -> Transition:
    return Transition(
        server_id=order.server_id, task_id=order.task_id, event=event, before=before, after=after, host=host
    )


def _guard_seen(order: Order, seen: Server) -> None:
    """What the server as it was read forbids; its state may have changed since and is asked for again where it counts."""
    if (seen.state, order.event) in MOVES:
        guards.check(order.context, seen, order.action, order.event)
    elif ACTIONS[order.event].is_locked_out:
        guards.refuse_locked(order.context, seen)
