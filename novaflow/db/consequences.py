"""What an event means beyond the server's own row: room on another host, a migration's status, quota.

In the transaction that moves the server, whose row is locked. Which host a moving server is on changes here and nowhere else.
"""

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import moving, usages, volumes
from novaflow.db.standing import Standing, counts, usage_of
from novaflow.states import Event, State, Vm
from novaflow.tasks import ABORTING

_STATUS: Final = {
    Event.RESIZE_MIGRATING: "migrating",
    Event.RESIZE_MIGRATED: "post-migrating",
    Event.RESIZE_ROLLED_BACK: "reverting",
    Event.RESIZED: "finished",
    Event.ABORT_WANTED: ABORTING,
}
_BEGINNING: Final = {Event.CONFIRM_ORDERED: "confirming", Event.REVERT_ORDERED: "reverting"}
_HANDING_OVER: Final = frozenset({Event.RESIZE_MIGRATED, Event.LIVE_MIGRATED, Event.EVACUATION_PLACED})
_HANDING_BACK: Final = frozenset({Event.RESIZE_ROLLED_BACK, Event.REVERT_CLEARED})
_ENDING: Final = {
    Event.CONFIRMED: "confirmed",
    Event.CONFIRMED_OFF: "confirmed",
    Event.REVERTED: "reverted",
    Event.REVERTED_OFF: "reverted",
    Event.LIVE_MIGRATED: "completed",
    Event.REBUILT: "done",
    Event.REBUILT_OFF: "done",
    Event.DELETED: "error",
}
_GIVING_UP: Final = {Event.FAILED: "error", Event.BROKEN: "error", Event.LIVE_MIGRATION_CANCELLED: "cancelled"}
_WITHOUT_GUEST: Final = frozenset({Event.DELETED, Event.BUILD_FAILED})
EVENTS: Final = frozenset({*_STATUS, *_HANDING_OVER, *_HANDING_BACK, *_ENDING, *_GIVING_UP})


async def begin(connection: AsyncConnection, event: Event, server_id: str, now: datetime) -> None:
    """What an accepted order says of a move that is there already."""
    if event in _BEGINNING:
        move = await moving.current(connection, server_id)
        if move is not None:
            await moving.set_status(connection, move.migration, _BEGINNING[event], now)


async def follow(connection: AsyncConnection, event: Event, server: Standing, after: State, now: datetime) -> None:
    """What else is so, now that `event` has led `server` (as it was before) to `after`.

    Raises TaskSuperseded for a server that shall be handed over to a host where nothing is claimed for it.
    """
    await _give_back(connection, event, server, after, now)
    if event not in EVENTS:
        return
    move = await moving.current(connection, server.server_id)
    if move is None:
        return
    if event in _STATUS:
        await moving.set_status(connection, move.migration, _STATUS[event], now)
    if event in _HANDING_OVER:
        move = await moving.hand_over(connection, move, server, now)
    elif event in _HANDING_BACK:
        await moving.hand_back(connection, move, now)
    if event in _ENDING:
        await moving.end(connection, move, server, _ENDING[event], now)
    elif event in _GIVING_UP and after.vm is Vm.RESIZED:
        # A confirm or a revert that failed leaves the server resized, with all that a resized server holds.
        await moving.set_status(connection, move.migration, _STATUS[Event.RESIZED], now)
    elif event in _GIVING_UP:
        await moving.give_up(connection, move, server, now, _GIVING_UP[event])


async def _give_back(connection: AsyncConnection, event: Event, server: Standing, after: State, now: datetime) -> None:
    """The volumes of a server that has no guest any more, or never had one; and what it does not take of its quota."""
    if event in _WITHOUT_GUEST:
        await volumes.release(connection, server.server_id, now)
    if event is not Event.DELETED:  # which gives back everything at once
        await recount(connection, server, after)


async def recount(connection: AsyncConnection, server: Standing, after: State) -> None:
    """A server that begins or ceases to count in its quota is counted, whatever the limits are now."""
    if counts(server.state) and not counts(after):
        await usages.release_servers(connection, usage_of(server), project_id=server.project_id, user_id=server.user_id)
    elif counts(after) and not counts(server.state):
        await usages.add_servers(connection, usage_of(server), project_id=server.project_id, user_id=server.user_id)


async def give_up(connection: AsyncConnection, server: Standing, now: datetime) -> None:
    """End whatever move a server is in, because its state is set by hand."""
    move = await moving.current(connection, server.server_id)
    if move is not None:
        await moving.give_up(connection, move, server, now)
