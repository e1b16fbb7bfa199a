"""Long work on a guest that whoever destroys the guest need not wait for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from novaflow.virt.image_facts import Refused


class Interruptions:
    """The tasks that copy a guest's disk, so that its end can end them."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[object]] = {}
        self._interrupted: set[asyncio.Task[object]] = set()

    @contextmanager
    def allowed(self, server_id: str) -> Iterator[None]:
        """What runs in here may be cancelled by `interrupt`; that is Refused then, and no cancellation of the caller."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._tasks[server_id] = task
        try:
            yield
        except asyncio.CancelledError:
            if task in self._interrupted and task.uncancel() == 0:
                raise Refused("the guest is destroyed meanwhile") from None
            raise
        finally:
            self._tasks.pop(server_id, None)
            self._interrupted.discard(task)

    def interrupt(self, server_id: str) -> None:
        """End what runs for this guest, if anything does; its clean-up goes on until the guest's lock is free."""
        task = self._tasks.get(server_id)
        if task is not None and task not in self._interrupted:
            self._interrupted.add(task)
            task.cancel()
