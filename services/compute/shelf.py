"""The shelf: a server's disk becomes an image, its guest leaves the host at once or later, and comes back from the image.

The image is nobody's but the shelf's: whoever does not need it any more removes it. It is removed last, after the report
that the server is back, so a host that dies in between has its order sent again and removes it then.
"""

import logging
from functools import partial
from typing import Final

from novaflow.errors import NotFound, NovaflowError
from novaflow.messages import MoveServer, ServerOrder
from novaflow.models import Server
from novaflow.states import Event, Task, Vm
from novaflow.tasks import Assignment
from services.compute.carrying_out import DONE, Job, carry_out
from services.compute.host import ComputeHost
from services.compute.image_making import ImageMaking
from services.compute.images import BootImages
from services.compute.spawns import Spawns

AT_ONCE: Final = 0.0  # seconds
log = logging.getLogger(__name__)


class Shelf:
    """Answers to the orders to shelve, to offload and to unshelve."""

    def __init__(self, host: ComputeHost, images: BootImages, spawns: Spawns, making: ImageMaking) -> None:
        self._host = host
        self._driver = host.driver
        self._images = images
        self._spawns = spawns
        self._making = making

    async def shelve_instance(self, ask: ServerOrder) -> None:
        """Switch the guest off, fill the image, and let the guest go if it shall not wait."""

        async def shelve(job: Job) -> None:
            assignment = await job.assignment()
            if assignment.plan.server.task is Task.SHELVING_OFFLOADING:
                await self._offload(job)
                return
            await self._fill(job, assignment)
            job.undo = None
            if self._host.config.compute.shelved_offload_time != AT_ONCE:
                await job.done(Event.SHELVED)
                return
            await job.done(Event.SHELVED_FOR_OFFLOAD)
            await self._offload(job)

        missed = partial(self._making.discard_missed, ask, unless_filled=False)
        await carry_out(self._host, ask, shelve, missed=missed)

    async def shelve_offload_instance(self, ask: ServerOrder) -> None:
        """Let the guest of a shelved server go."""

        async def offload(job: Job) -> None:
            await job.owned()
            await self._offload(job)

        await carry_out(self._host, ask, offload)

    async def unshelve_instance(self, ask: MoveServer) -> None:
        """Start the guest that has waited here, or make it anew of its image on the host that was found for it."""

        async def unshelve(job: Job) -> None:
            assignment = await job.assignment()
            if assignment.plan.server.vm is Vm.SHELVED:
                await job.progress(Event.UNSHELVE_POWERING_ON)
                with job.hop("power on"):
                    await job.unless_taken_over(self._driver.power_on(ask.server_id))
                await job.done(Event.STARTED)
            else:
                await self._bring_back(job, ask, assignment)
            await self._discard(ask, assignment.params.image_id)

        await carry_out(self._host, ask, unshelve, missed=partial(self._clear_up, ask))

    async def _fill(self, job: Job, assignment: Assignment) -> None:
        """A guest that runs is switched off first; one whose memory is kept keeps it until its disk is safe."""
        server, image_id = assignment.plan.server, assignment.params.image_id
        job.undo = partial(self._unfill, job, server, image_id)
        seconds = self._host.config.compute.stop_timeout
        if server.vm is Vm.ACTIVE:
            with job.hop("power off"):
                await job.unless_taken_over(self._driver.power_off(server.id, seconds))
        await self._making.make(job, image_id, partial(self._copied, job))
        with job.hop("power off"):
            await job.unless_taken_over(self._driver.power_off(server.id, AT_ONCE))

    async def _copied(self, job: Job) -> None:
        await job.progress(Event.UPLOAD_WANTED, then=(Event.UPLOAD_STARTED,))

    async def _unfill(self, job: Job, server: Server, image_id: str) -> None:
        """A server that is not shelved goes on: its guest runs, unless another task has it now."""
        await self._discard(job.ask, image_id)
        if server.vm is Vm.ACTIVE and not job.slot.is_taken_over:
            with job.hop("power on"):
                await self._driver.power_on(server.id)

    async def _offload(self, job: Job) -> None:
        with job.hop("destroy domain"):
            await self._driver.destroy(job.ask.server_id)
        await job.done(Event.OFFLOADED)

    async def _bring_back(self, job: Job, ask: MoveServer, assignment: Assignment) -> None:
        job.undo = partial(self._remove, job)
        await job.progress(Event.UNSHELVE_SPAWNING)
        plan, image_id = assignment.plan, assignment.params.image_id
        found = await job.unless_taken_over(self._images.find(plan.server, ask.context.token, image_id=image_id))
        files = await job.unless_taken_over(self._images.fetch(found))
        await self._spawns.spawn(plan, files, job.slot, admin_password=ask.admin_password)
        await job.done(Event.UNSHELVED)
        job.undo = None

    async def _remove(self, job: Job) -> None:
        await self._driver.destroy(job.ask.server_id)
        self._host.told.pop(job.ask.server_id, None)

    async def _clear_up(self, ask: MoveServer) -> None:
        """The order came again after the server was back."""
        try:
            task = await self._host.records.task(ask)
        except NotFound:
            return
        if task.state == DONE:
            await self._discard(ask, task.params.image_id)

    async def _discard(self, ask: MoveServer | ServerOrder, image_id: str) -> None:
        try:
            await self._making.uploads.discard(image_id, ask.context.token)
        except NovaflowError as error:
            log.warning("image %s of server %s could not be removed: %s", image_id, ask.server_id, error)
