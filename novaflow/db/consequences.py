"""What an event means beyond the server's own row: room on another host, a migration's status, quota.

In the transaction that moves the server, whose row is locked. Which host a moving server is on changes here and nowhere else.
"""

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import moving, usages
from novaflow.db.standing import Standing, counts, usage_of
from novaflow.states import Event, State, Vm

_STATUS: Final = {
    Event.RESIZE_MIGRATING: "migrating",
    Event.RESIZE_MIGRATED: "post-migrating",
    Event.RESIZE_ROLLED_BACK: "reverting",
    Event.RESIZED: "finished",
}
_HANDING_OVER: Final = {
    Event.RESIZE_MIGRATED: False,
    Event.LIVE_MIGRATED: False,
    Event.EVACUATION_PLACED: False,
    Event.RESIZE_ROLLED_BACK: True,
    Event.REVERT_CLEARED: True,
}
"""Events after which the server is another host's; True when it goes back to where it came from."""
_ENDING: Final = {
    Event.CONFIRMED: "confirmed",
    Event.CONFIRMED_OFF: "confirmed",
    Event.REVERTED: "reverted",
    Event.REVERTED_OFF: "reverted",
    Event.LIVE_MIGRATED: "completed",
    Event.REBUILT: "done",
    Event.REBUILT_OFF: "done",
    Event.FAILED: "error",
    Event.BROKEN: "error",
    Event.DELETED: "error",
}
EVENTS: Final = frozenset({*_STATUS, *_HANDING_OVER, *_ENDING})


async def follow(connection: AsyncConnection, event: Event, server: Standing, after: State, now: datetime) -> None:
    """What else is so, now that `event` has led `server` (as it was before) to `after`."""
    if event is not Event.DELETED:  # which gives back everything at once
        await recount(connection, server, after)
    if event not in EVENTS:
        return
    move = await moving.current(connection, server.server_id)
    if move is None:
        return
    if event in _STATUS:
        await moving.set_status(connection, move.migration, _STATUS[event], now)
    if event in _HANDING_OVER:
        await moving.hand_over(connection, move.migration, now, back=_HANDING_OVER[event])
        move = await moving.current(connection, server.server_id) or move
    if event is Event.EVACUATION_PLACED:
        await moving.unclaim(connection, move, now)  # the old host is dead, and has nothing to come back to
    if event in _ENDING and not _is_back_to_resized(event, server):
        await moving.end(connection, move, _ENDING[event], now, vcpus=server.vcpus, ram_mb=server.ram_mb)


async def recount(connection: AsyncConnection, server: Standing, after: State) -> None:
    """A server that begins or ceases to count in its quota is counted, whatever the limits are now."""
    if counts(server.state) and not counts(after):
        await usages.release_servers(connection, usage_of(server), project_id=server.project_id, user_id=server.user_id)
    elif counts(after) and not counts(server.state):
        await usages.add_servers(connection, usage_of(server), project_id=server.project_id, user_id=server.user_id)


def _is_back_to_resized(event: Event, server: Standing) -> bool:
    """A confirm or a revert that failed leaves the server resized, with all that a resized server holds."""
    return event is Event.FAILED and server.state.vm is Vm.RESIZED
