"""A server made anew from an image on the host where it is: a rebuild, or an evacuation once the server has its new host.

The new image is here before the old guest goes. After that there is no way back: a rebuild that fails then leaves a server in error.
"""

from novaflow.messages import PasswordOrder
from novaflow.states import Event, Power, Task
from novaflow.tasks import Assignment
from services.compute.carrying_out import DOWN, Job, carry_out
from services.compute.host import ComputeHost
from services.compute.images import BootImages
from services.compute.spawns import Spawns


class Rebuilding:
    """Answers to `rebuild_instance`."""

    def __init__(self, host: ComputeHost, images: BootImages, spawns: Spawns) -> None:
        self._host = host
        self._images = images
        self._spawns = spawns

    async def rebuild_instance(self, ask: PasswordOrder) -> None:
        """Make the guest anew; one that was off before is switched off again."""

        async def rebuild(job: Job) -> None:
            assignment = await job.assignment()
            if assignment.plan.server.task is not Task.POWERING_OFF:
                await self._make(job, ask, assignment)
                if not assignment.params.keeps_off:
                    await job.done(Event.REBUILT)
                    return
                await job.done(Event.REBUILT_OFF)
            job.broken_when = frozenset()
            with job.hop("power off"):
                await job.unless_taken_over(self._host.driver.power_off(ask.server_id, 0.0))
            await job.done(Event.STOPPED)

        await carry_out(self._host, ask, rebuild)

    async def _make(self, job: Job, ask: PasswordOrder, assignment: Assignment) -> None:
        job.broken_when = frozenset({Power.NOSTATE})  # an earlier try may have removed the old guest
        found = await job.unless_taken_over(self._images.find(assignment.plan.server, ask.context.token))
        files = await job.unless_taken_over(self._images.fetch(found))
        await job.progress(Event.REBUILD_DEVICES_WANTED, then=(Event.REBUILD_SPAWN_STARTED,))
        job.broken_when = DOWN
        await self._spawns.spawn(assignment.plan, files, job.slot, admin_password=ask.admin_password)
