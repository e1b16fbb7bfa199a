"""Another system in a guest's place, which sees the guest's disk as its second one."""

from novaflow.messages import PasswordOrder, ServerOrder
from novaflow.states import Event, Vm
from novaflow.tasks import Assignment
from services.compute.carrying_out import DOWN, Job, carry_out, carry_out_step
from services.compute.guest_specs import boot_source, guest_spec
from services.compute.host import ComputeHost
from services.compute.images import BootImages, Found


class Rescuing:
    """Answers to the orders for and against a rescue."""

    def __init__(self, host: ComputeHost, images: BootImages) -> None:
        self._host = host
        self._images = images

    async def rescue_instance(self, ask: PasswordOrder) -> None:
        """Switch the guest off and boot the rescue image, or the server's own one anew.

        What can be fetched is fetched first. One that fails after that leaves the guest off, and so the server in error, as in Nova.
        """

        async def rescue(job: Job) -> None:
            assignment = await job.assignment()
            plan = assignment.plan
            found = await job.unless_taken_over(self._find(assignment, ask.context.token))
            files = await job.unless_taken_over(self._images.fetch(found))
            guest = guest_spec(self._host, plan, None, admin_password=ask.admin_password)
            self._images.note_use_too(self._host.name, plan.server.id, files)
            if plan.server.vm is not Vm.STOPPED:
                job.broken_when = DOWN
            with job.hop("power off"):
                seconds = self._host.config.compute.stop_timeout
                await job.unless_taken_over(self._host.driver.power_off(plan.server.id, seconds))
            with job.hop("rescue"):
                await job.unless_taken_over(self._host.driver.rescue(guest, boot_source(files)))
            await job.done(Event.RESCUED)

        await carry_out(self._host, ask, rescue)

    async def unrescue_instance(self, ask: ServerOrder) -> None:
        """Boot the guest's own system again."""
        await carry_out_step(self._host, ask, "unrescue", self._host.driver.unrescue, Event.UNRESCUED)

    async def _find(self, assignment: Assignment, token: str) -> Found:
        if assignment.params.image_id:
            return await self._images.find_system(assignment.params.image_id, token)
        return await self._images.find(assignment.plan.server, token)
