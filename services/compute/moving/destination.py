"""The destination of a resize or a cold migration: it makes the guest of what its old host parked, and gives it up when it is reverted.

A resize may end on the host where it began. Then what is parked is on this very host, and nothing here may remove it.
"""

import logging
from functools import partial
from typing import Final

from novaflow.errors import GuestFailed
from novaflow.messages import FINISH_REVERT_RESIZE, RESIZE_INSTANCE, DiskTransfer, MoveServer, ServerOrder
from novaflow.states import Event, Task, Vm
from rpc.bus import Bus
from services.compute.arrivals import Arrivals, OfferOver
from services.compute.carrying_out import DOWN
from services.compute.guest_specs import guest_spec
from services.compute.host import ComputeHost
from services.compute.images import BootImages
from services.compute.moving.turns import Turn, take_turn

_FINISHING: Final = frozenset({Task.RESIZE_MIGRATED, Task.RESIZE_FINISH})
log = logging.getLogger(__name__)


class Destination:
    """Answers to what is ordered of the host that a guest comes to."""

    def __init__(self, host: ComputeHost, bus: Bus, images: BootImages, arrivals: Arrivals) -> None:
        self._host = host
        self._driver = host.driver
        self._records = host.records
        self._bus = bus
        self._images = images
        self._arrivals = arrivals

    async def prep_resize(self, ask: MoveServer) -> None:
        """See that this host can take the guest, and have its old host let it go."""
        await take_turn(self._host, ask, self._prepare)

    async def finish_resize(self, ask: DiskTransfer) -> None:
        """Fetch the guest's files and make it of them."""

        async def finish(turn: Turn) -> None:
            await self._finish(turn, ask)

        await take_turn(self._host, ask, finish)

    async def revert_resize(self, ask: ServerOrder) -> None:
        """Give the guest up, and have its old host put it back."""
        await take_turn(self._host, ask, self._revert)

    async def _prepare(self, turn: Turn) -> None:
        ask, move = turn.job.ask, turn.migration
        if turn.server.task is not Task.RESIZE_PREP or move.claim_host != self._host.name:
            return
        await self._driver.resources()  # a hypervisor that is away says so now, and not when the guest is off
        await self._clear(turn)
        if isinstance(ask, MoveServer):
            await self._bus.cast(RESIZE_INSTANCE.at(move.source_host), ask)

    async def _finish(self, turn: Turn, ask: DiskTransfer) -> None:
        if turn.server.task not in _FINISHING:
            return
        is_running = turn.migration.old_vm is Vm.ACTIVE
        turn.job.undo = partial(self._clear, turn)
        if not (is_running and await self._runs_already(turn)):
            try:
                await self._adopt(turn, ask, is_running=is_running)
            except OfferOver:
                log.info("server %s: its files are offered anew, this offer is over", ask.server_id)
                return
        power = await turn.job.power()
        if is_running and power in DOWN:
            reason = f"the guest was {power.name} right after its start"
            raise GuestFailed(operation="adopt", server_id=ask.server_id, reason=reason)
        await self._records.progress(ask, Event.RESIZED, power)
        await self._arrivals.finish(ask)

    async def _runs_already(self, turn: Turn) -> bool:
        """Starting it is the last step of adopting it: one that runs was finished, by a run that could not say so."""
        is_late = turn.server.task is Task.RESIZE_FINISH
        return is_late and await self._driver.power(turn.server.id) not in DOWN

    async def _adopt(self, turn: Turn, ask: DiskTransfer, *, is_running: bool) -> None:
        with self._host.tracer.span("transfer", "fetch disks", attributes={"server_id": ask.server_id}):
            files = await turn.job.unless_taken_over(self._arrivals.fetch(ask))
        await self._records.progress(ask, Event.RESIZE_FINISHING)
        boot = await turn.job.unless_taken_over(self._images.fetch_kernel(turn.assignment.plan, ask.context.token))
        note = self._images.note_use_too if turn.migration.is_to_same_host else self._images.note_use
        note(self._host.name, ask.server_id, boot)
        guest = guest_spec(self._host, turn.assignment.plan, boot)
        with turn.job.hop("define and start domain"):
            await self._driver.adopt(guest, files, is_running=is_running)
        await self._arrivals.remove(ask.server_id)

    async def _revert(self, turn: Turn) -> None:
        move = turn.migration
        if turn.server.task is not Task.RESIZE_REVERTING:
            return
        if move.claim_host is not None:
            await self._clear(turn)
            await turn.job.progress(Event.REVERT_CLEARED)
        await self._bus.cast(FINISH_REVERT_RESIZE.at(move.source_host), turn.order)

    async def _clear(self, turn: Turn) -> None:
        """Nothing of the guest is here. On its own old host that is left to whoever puts it back, for it would take what is parked too."""
        await self._arrivals.remove(turn.server.id)
        if not turn.migration.is_to_same_host:
            with turn.job.hop("destroy domain"):
                await self._driver.destroy(turn.server.id)
            self._host.told.pop(turn.server.id, None)
