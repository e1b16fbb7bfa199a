"""What runs from its start to its stop, as a block of code does."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Startable(ABC):
    """Something that is started when a block begins, and stopped when it ends or when the start fails."""

    @abstractmethod
    async def start(self) -> None:
        """Start whatever of it does not run, and wait until it serves."""

    @abstractmethod
    async def stop(self) -> None:
        """End it, also what was only half started."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
