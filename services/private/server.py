"""A private server that is one process and listens on one port of loopback."""

from typing import Final

from services.private.process import OwnProcess
from services.private.startable import Startable

LOOPBACK: Final = "127.0.0.1"


class PrivateServer(Startable):
    """What can be asked of one, and done to it. The port is chosen once, so a restarted server is found again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: OwnProcess | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process; None when it does not run."""
        return None if self._server is None else self._server.pid

    async def kill9(self) -> None:
        """End the server as a crash would. Its directory stays as it is."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    async def _end(self) -> None:
        """End it cleanly, by force if it does not end in time."""
        if self._server is not None:
            await self._server.end()
            self._server = None
