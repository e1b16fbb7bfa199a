"""What is done to a server that is built: stop, start, reboot, terminate, and reading its console.

Every order first asks whether its task still owns the server here, so one that comes twice or late does nothing; terminate
need not ask, since a server whose delete was ever ordered has no use for its guest. The driver's operations may be repeated, so an
order that was interrupted half-way is simply done again.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from novaflow.errors import GuestFailed, NotFound, NovaflowError, TaskSuperseded
from novaflow.messages import ConsoleAsk, ConsoleText, RebootOrder, ServerOrder
from novaflow.states import Event, Power
from rpc.errors import BusError
from rpc.tracing import Span
from services.compute.faults import fault_of
from services.compute.host import ComputeHost
from services.compute.slots import Slot

log = logging.getLogger(__name__)


class Switch:
    """Answers to the orders for one server, other than its build."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._driver = host.driver
        self._records = host.records

    async def stop_instance(self, ask: ServerOrder) -> None:
        """Ask the guest to power off; pull the plug when it does not."""

        async def stop(slot: Slot) -> None:
            await self._records.owned(ask)
            seconds = self._host.config.compute.stop_timeout
            with self._hop("power off", ask):
                await slot.unless_taken_over(self._driver.power_off(ask.server_id, seconds))
            await self._report(ask, Event.STOPPED)

        await self._carry_out(ask, stop)

    async def start_instance(self, ask: ServerOrder) -> None:
        """Start the guest again."""

        async def start(_: Slot) -> None:
            await self._records.owned(ask)
            with self._hop("power on", ask):
                await self._driver.power_on(ask.server_id)
            await self._report(ask, Event.STARTED)

        await self._carry_out(ask, start)

    async def reboot_instance(self, ask: RebootOrder) -> None:
        """Restart the guest. A hard reboot takes over from a soft one that waits for its guest."""

        async def reboot(slot: Slot) -> None:
            await self._records.owned(ask)
            await self._records.progress(ask, Event.REBOOT_PENDING, then=(Event.REBOOT_STARTED,))
            seconds = self._host.config.compute.stop_timeout
            with self._hop("hard reboot" if ask.hard else "reboot", ask):
                work = self._driver.reboot(ask.server_id, hard=ask.hard, timeout=seconds)
                await (work if ask.hard else slot.unless_taken_over(work))
            await self._report(ask, Event.REBOOTED)

        await self._carry_out(ask, reboot, takes_over=ask.hard)

    async def terminate_instance(self, ask: ServerOrder) -> None:
        """Remove the guest, whatever else was going on with it."""

        async def terminate(_: Slot) -> None:
            with self._hop("destroy domain", ask):
                await self._driver.destroy(ask.server_id)
            self._host.told.pop(ask.server_id, None)
            await self._records.progress(ask, Event.DELETED, Power.NOSTATE)

        await self._carry_out(ask, terminate, takes_over=True)

    async def get_console_output(self, ask: ConsoleAsk) -> ConsoleText:
        """The last lines of the serial console."""
        raw = await self._driver.console_output(ask.server_id, self._host.config.compute.console_bytes)
        text = raw.decode(errors="replace")
        if ask.lines is None:
            return ConsoleText(output=text)
        return ConsoleText(output="".join(text.splitlines(keepends=True)[-ask.lines :] if ask.lines > 0 else []))

    async def _carry_out(
        self, ask: ServerOrder, action: Callable[[Slot], Awaitable[None]], *, takes_over: bool = False
    ) -> None:
        async with self._host.slots.hold(ask.server_id, ask.task_id, takes_over=takes_over) as slot:
            try:
                await action(slot)
            except (TaskSuperseded, NotFound):
                log.info("server %s: task %s has nothing to do here any more", ask.server_id, ask.task_id)
            except BusError:
                raise
            except Exception as error:
                if not isinstance(error, NovaflowError):
                    log.exception("server %s: task %s failed unexpectedly", ask.server_id, ask.task_id)
                await self._fail(ask, error)

    async def _report(self, ask: ServerOrder, event: Event) -> None:
        power = await self._driver.power(ask.server_id)
        self._host.told[ask.server_id] = power
        await self._records.progress(ask, event, power)

    async def _fail(self, ask: ServerOrder, error: Exception) -> None:
        try:
            power = await self._driver.power(ask.server_id)
            self._host.told[ask.server_id] = power
        except GuestFailed:
            power = None
        try:
            await self._records.failed(ask, fault_of(error), power)
        except TaskSuperseded:
            log.info("server %s was taken over while task %s failed", ask.server_id, ask.task_id)

    def _hop(self, name: str, ask: ServerOrder) -> AbstractContextManager[Span]:
        attributes = {"server_id": ask.server_id, "host": self._host.name}
        return self._host.tracer.span("libvirt", name, attributes=attributes)
