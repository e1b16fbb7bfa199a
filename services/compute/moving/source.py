"""The source of a resize or a cold migration: it lets the guest go, offers its files, and keeps them until nobody can want them back.

The guest is never in two places: it is switched off and parked before its new host may make one of it. What is parked is kept until
the move is confirmed, whatever happens elsewhere.
"""

from functools import partial
from http import HTTPStatus
from typing import Final

from novaflow.errors import TaskSuperseded
from novaflow.messages import FINISH_RESIZE, DiskTransfer, MoveServer, ServerOrder
from novaflow.models import Fault
from novaflow.states import Event, Power, Task, Vm
from rpc.bus import Bus
from services.compute.carrying_out import DOWN
from services.compute.host import ComputeHost
from services.compute.moving.turns import Turn, take_turn
from services.compute.transfer import Offers
from services.reordering import ROLLED_BACK

_LEAVING: Final = frozenset({Task.RESIZE_PREP, Task.RESIZE_MIGRATING})
_LEFT: Final = frozenset({Task.RESIZE_MIGRATED, Task.RESIZE_FINISH})


class Source:
    """Answers to what is ordered of the host that a guest leaves."""

    def __init__(self, host: ComputeHost, bus: Bus, offers: Offers) -> None:
        self._host = host
        self._driver = host.driver
        self._records = host.records
        self._bus = bus
        self._offers = offers

    async def resize_instance(self, ask: MoveServer) -> None:
        """Switch the guest off, park it, and have its new host fetch its files. Once it has left, only offer them (again)."""
        await take_turn(self._host, ask, self._resize)

    async def roll_back_resize(self, ask: ServerOrder) -> None:
        """The new host could not take the guest: have it here again, as it was."""
        await take_turn(self._host, ask, self._roll_back)

    async def confirm_resize(self, ask: ServerOrder) -> None:
        """Nobody will want the guest back: forget what is parked."""
        await take_turn(self._host, ask, self._confirm)

    async def finish_revert_resize(self, ask: ServerOrder) -> None:
        """The new host has given the guest up: have it here again, as it was."""
        await take_turn(self._host, ask, self._finish_revert)

    async def _resize(self, turn: Turn) -> None:
        task, move = turn.server.task, turn.migration
        if task is Task.RESIZE_MIGRATING and move.status == ROLLED_BACK:
            await self._roll_back(turn)
            return
        if task in _LEAVING and move.claim_host is not None:
            turn.job.undo, turn.job.puts_back = partial(self._put_back, turn), True
            await self._leave(turn)
            turn.job.undo, turn.job.puts_back = None, False
        elif task not in _LEFT:
            return
        await self._offer(turn)

    async def _leave(self, turn: Turn) -> None:
        server_id = turn.server.id
        await self._records.progress(turn.job.ask, Event.RESIZE_MIGRATING)
        if server_id not in await self._driver.parked():
            with turn.job.hop("power off"):
                seconds = self._host.config.compute.stop_timeout
                await turn.job.unless_taken_over(self._driver.power_off(server_id, seconds))
            with turn.job.hop("park"):
                await self._driver.park(server_id)
        self._host.told.pop(server_id, None)
        await self._records.progress(turn.job.ask, Event.RESIZE_MIGRATED, Power.SHUTDOWN)

    async def _offer(self, turn: Turn) -> None:
        move = turn.migration
        files = await self._driver.parked_files(turn.server.id)
        url, key = self._offers.make(self._host.name, turn.server.id, files)
        order = DiskTransfer(
            context=turn.job.ask.context, server_id=turn.server.id, task_id=turn.job.ask.task_id, url=url, key=key
        )
        await self._bus.cast(FINISH_RESIZE.at(move.dest_host or move.source_host), order)

    async def _roll_back(self, turn: Turn) -> None:
        if turn.server.task is not Task.RESIZE_MIGRATING or turn.migration.status != ROLLED_BACK:
            return
        turn.job.is_broken = True
        await self._put_back(turn)
        why = (await self._records.task(turn.job.ask)).message
        fault = Fault(code=HTTPStatus.INTERNAL_SERVER_ERROR, message=why or "The new host could not take the server.")
        await self._records.failed(turn.job.ask, fault, await turn.job.power(), is_undone=True)

    async def _confirm(self, turn: Turn) -> None:
        if turn.server.task is not Task.RESIZE_CONFIRMING:
            return
        self._offers.withdraw(self._host.name, turn.server.id)
        with turn.job.hop("forget parked"):
            await self._driver.forget_parked(turn.server.id)
        is_off = turn.server.power in DOWN
        await self._records.progress(turn.job.ask, Event.CONFIRMED_OFF if is_off else Event.CONFIRMED)

    async def _finish_revert(self, turn: Turn) -> None:
        if turn.server.task is not Task.RESIZE_REVERTING:
            return
        if turn.migration.claim_host is not None:  # the new host has still to give it up
            raise TaskSuperseded(server_id=turn.server.id, task_id=turn.job.ask.task_id)
        turn.job.is_broken = True
        await self._put_back(turn)
        power = await turn.job.power()
        if turn.migration.old_vm is Vm.STOPPED:
            await self._records.progress(turn.job.ask, Event.REVERTED_OFF, power, then=(Event.STOPPED,))
        else:
            await self._records.progress(turn.job.ask, Event.REVERTED, power)

    async def _put_back(self, turn: Turn) -> None:
        """The guest as it was before the move, on or off."""
        server_id, is_running = turn.server.id, turn.migration.old_vm is Vm.ACTIVE
        self._offers.withdraw(self._host.name, server_id)
        with turn.job.hop("unpark"):
            await self._driver.unpark(server_id, is_running=is_running)
