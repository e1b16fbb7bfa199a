"""A guest's power: stop, start, reboot, and what a delete means to it, at once or on reclaim.

A reboot that fails and leaves the guest off leaves a server that is of no use, as in Nova (nova/compute/manager.py, reboot_instance).
"""

from novaflow.errors import TaskSuperseded
from novaflow.messages import RebootOrder, ServerOrder
from novaflow.states import Event, Power
from services.compute.carrying_out import DOWN, Job, carry_out, carry_out_step
from services.compute.host import ComputeHost

AT_ONCE = 0.0  # seconds


class Switch:
    """Answers to the orders that switch a server's guest on or off, and to those that end it."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._driver = host.driver

    async def stop_instance(self, ask: ServerOrder) -> None:
        """Ask the guest to power off; pull the plug when it does not."""
        await carry_out_step(self._host, ask, "power off", self._power_off, Event.STOPPED)

    async def start_instance(self, ask: ServerOrder) -> None:
        """Start the guest again."""
        await carry_out_step(self._host, ask, "power on", self._driver.power_on, Event.STARTED)

    async def reboot_instance(self, ask: RebootOrder) -> None:
        """Restart the guest. A hard reboot takes over from a soft one that waits for its guest, and from a pause or suspend that hangs."""
        if ask.hard and not await self._is_owned(ask):
            return  # late: whoever works on the server now shall not be disturbed

        async def reboot(job: Job) -> None:
            await job.owned()
            job.broken_when = DOWN
            await job.progress(Event.REBOOT_PENDING, then=(Event.REBOOT_STARTED,))
            await self._reboot(job, hard=ask.hard)
            await job.done(Event.REBOOTED)

        await carry_out(self._host, ask, reboot, takes_over=ask.hard)

    async def terminate_instance(self, ask: ServerOrder) -> None:
        """Remove the guest, whatever else was going on with it. A server whose delete was ever ordered has no use for it: nobody is asked."""

        async def terminate(job: Job) -> None:
            with job.hop("destroy domain"):
                await self._driver.destroy(ask.server_id)
            await job.done(Event.DELETED)

        await carry_out(self._host, ask, terminate, takes_over=True)

    async def soft_delete_instance(self, ask: ServerOrder) -> None:
        """Pull the plug, and keep the guest until it is reclaimed."""
        await carry_out_step(self._host, ask, "power off", self._pull_plug, Event.SOFT_DELETED)

    async def restore_instance(self, ask: ServerOrder) -> None:
        """Boot the guest's own system again, also when it was in a rescue."""
        await carry_out_step(self._host, ask, "power on", self._driver.unrescue, Event.RESTORED)

    async def _power_off(self, server_id: str) -> None:
        await self._driver.power_off(server_id, self._host.config.compute.stop_timeout)

    async def _pull_plug(self, server_id: str) -> None:
        await self._driver.power_off(server_id, AT_ONCE)

    async def _reboot(self, job: Job, *, hard: bool) -> None:
        """A guest that does not run cannot be asked to restart."""
        server_id, seconds = job.ask.server_id, self._host.config.compute.stop_timeout
        hard = hard or await self._driver.power(server_id) is not Power.RUNNING
        with job.hop("hard reboot" if hard else "reboot"):
            await job.unless_taken_over(self._driver.reboot(server_id, hard=hard, timeout=seconds))

    async def _is_owned(self, ask: RebootOrder) -> bool:
        try:
            await self._host.records.owned(ask)
        except TaskSuperseded:
            return False
        return True
