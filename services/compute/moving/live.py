"""Live migration: a guest goes on to another host with its memory, and is at every moment on one of the two.

Until the hypervisors have handed it over it goes on at its source, whatever fails. After that it is at the destination, whoever dies:
an order that finds the guest gone from its source only asks the destination to keep it.
"""

import logging
from typing import Final

from novaflow.errors import GuestFailed, NotFound, OrderAborted, ServiceUnavailable, TaskSuperseded
from novaflow.messages import (
    POST_LIVE_MIGRATION,
    PRE_LIVE_MIGRATION,
    IncomingAsk,
    MoveServer,
    Nothing,
    ServerOrder,
)
from novaflow.states import Event, Power, Task
from novaflow.tasks import ABORTING
from novaflow.virt.driver import Incoming
from rpc.bus import Bus
from rpc.errors import CallTimeout, RemoteFailure, Unroutable
from services.compute.guest_specs import guest_spec
from services.compute.host import ComputeHost
from services.compute.images import BootImages
from services.compute.moving.turns import Turn, take_turn

PREPARED_WITHIN: Final = 60.0  # seconds for the destination to make ready, or to keep what has come
log = logging.getLogger(__name__)


class LiveMigration:
    """Answers to what is ordered of either host of a live migration."""

    def __init__(self, host: ComputeHost, bus: Bus, images: BootImages) -> None:
        self._host = host
        self._driver = host.driver
        self._records = host.records
        self._bus = bus
        self._images = images

    # The source.

    async def live_migration(self, ask: MoveServer) -> None:
        """Have the destination make ready, move the guest, have the destination keep it."""
        await take_turn(self._host, ask, self._migrate)

    async def _migrate(self, turn: Turn) -> None:
        destination = turn.migration.claim_host
        if turn.server.task is not Task.MIGRATING or destination is None:
            return
        if await self._driver.power(turn.server.id) is not Power.NOSTATE:
            if turn.migration.status == ABORTING:  # before this order came, or before a crash
                turn.job.slot.abort()
            await self._hand_over(turn, destination)
        self._host.told.pop(turn.server.id, None)
        turn.job.is_broken = True  # if the destination has not got it, nobody has
        await self._bus.call(POST_LIVE_MIGRATION.at(destination), turn.order, timeout=PREPARED_WITHIN)
        await self._records.progress(turn.job.ask, Event.LIVE_MIGRATED)

    async def _hand_over(self, turn: Turn, destination: str) -> None:
        """An abort that comes too late aborts nothing: the guest is gone from here, and its move goes on."""
        try:
            incoming = await turn.job.unless_taken_over(self._prepared(turn, destination))
            with turn.job.hop("migrate"):
                await turn.job.unless_taken_over(self._driver.migrate(turn.server.id, incoming))
        except OrderAborted:
            if await self._driver.power(turn.server.id) is not Power.NOSTATE:
                raise

    async def _prepared(self, turn: Turn, destination: str) -> Incoming:
        order = turn.order
        ask = IncomingAsk(
            context=order.context,
            server_id=order.server_id,
            task_id=order.task_id,
            disk_bytes=await self._driver.disk_sizes(order.server_id),
        )
        try:
            return await self._bus.call(PRE_LIVE_MIGRATION.at(destination), ask, timeout=PREPARED_WITHIN)
        except (CallTimeout, RemoteFailure, Unroutable) as error:
            raise ServiceUnavailable(service=f"host {destination}", reason=str(error)) from error

    async def live_migration_abort(self, ask: ServerOrder) -> None:
        """Let the guest stay where it is."""
        if await self._is_under_way(ask):
            self._host.slots.abort(ask.server_id, ask.task_id)

    async def live_migration_force_complete(self, ask: ServerOrder) -> None:
        """Have the guest stand still until it has arrived. What comes too early or too late changes nothing."""
        if await self._is_under_way(ask):
            try:
                await self._driver.force_complete(ask.server_id)
            except GuestFailed as refusal:
                log.warning("server %s: %s", ask.server_id, refusal)

    async def _is_under_way(self, ask: ServerOrder) -> bool:
        try:
            return (await self._records.assignment(ask)).plan.server.task is Task.MIGRATING
        except (TaskSuperseded, NotFound):
            return False

    # The destination. Whatever it refuses, its caller hears.

    async def pre_live_migration(self, ask: IncomingAsk) -> Incoming:
        """Make ready for the guest."""
        async with self._host.slots.hold(ask.server_id, ask.task_id) as slot:
            plan = (await self._records.assignment(ask)).plan
            boot = await slot.unless_taken_over(self._images.fetch_kernel(plan, ask.context.token))
            self._images.note_use(self._host.name, ask.server_id, boot)
            return await self._driver.prepare_incoming(guest_spec(self._host, plan, boot), ask.disk_bytes)

    async def post_live_migration_at_destination(self, ask: ServerOrder) -> Nothing:
        """Keep the guest that has come. Raises GuestFailed when it has not."""
        async with self._host.slots.hold(ask.server_id, ask.task_id):
            await self._records.assignment(ask)
            await self._driver.finish_incoming(ask.server_id)
            power = await self._driver.power(ask.server_id)
            if power is Power.NOSTATE:
                raise GuestFailed(operation="finish_incoming", server_id=ask.server_id, reason="the guest has not come")
            self._host.told[ask.server_id] = power
        return Nothing()
