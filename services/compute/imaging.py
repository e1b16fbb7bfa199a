"""Images of a server for its owner: createImage and createBackup. The server goes on meanwhile, and is afterwards what it was."""

from functools import partial

from novaflow.messages import ServerOrder
from novaflow.states import Event
from services.compute.carrying_out import Job, carry_out
from services.compute.host import ComputeHost
from services.compute.image_making import ImageMaking


class Imaging:
    """Answers to the orders for images."""

    def __init__(self, host: ComputeHost, making: ImageMaking) -> None:
        self._host = host
        self._making = making
        self._uploads = making.uploads

    async def snapshot_instance(self, ask: ServerOrder) -> None:
        """Fill the image that the task names."""

        async def snapshot(job: Job) -> None:
            params = (await job.assignment()).params
            job.undo = partial(self._discard, job, params.image_id)
            await job.progress(Event.SNAPSHOT_STARTED)
            await self._making.make(job, params.image_id, partial(self._copied, job))
            await job.done(Event.UPLOADED)

        await carry_out(self._host, ask, snapshot, missed=partial(self._missed, ask))

    async def backup_instance(self, ask: ServerOrder) -> None:
        """The same, and the oldest backups beyond the rotation go once the new one is there."""

        async def backup(job: Job) -> None:
            params = (await job.assignment()).params
            job.undo = partial(self._discard, job, params.image_id)
            await self._making.make(job, params.image_id, partial(self._copied, job))
            rotating = self._uploads.rotate(ask.context, ask.server_id, params.backup_type, params.rotation)
            await job.unless_taken_over(rotating)
            await job.done(Event.UPLOADED)

        await carry_out(self._host, ask, backup, missed=partial(self._missed, ask))

    async def _copied(self, job: Job) -> None:
        await job.progress(Event.UPLOAD_WANTED, then=(Event.UPLOAD_STARTED,))

    async def _discard(self, job: Job, image_id: str) -> None:
        """An image that got its data is its owner's, whatever became of the server."""
        await self._uploads.discard(image_id, job.ask.context.token, unless_filled=True)

    async def _missed(self, ask: ServerOrder) -> None:
        await self._making.discard_missed(ask, unless_filled=True)
