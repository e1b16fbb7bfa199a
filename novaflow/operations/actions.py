"""What was done to a server: every accepted action, and each step of it on each host."""

from collections.abc import Sequence

from novaflow.db.servers import Servers
from novaflow.errors import Missing, NotFound
from novaflow.models import Context, Server
from novaflow.tasks import TaskEvent, TaskRecord


class ActionOperations:
    """Reads the history of servers. A server of another project does not exist for whoever is no administrator."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    async def list(self, context: Context, server_id: str, *, is_deleted_too: bool = False) -> Sequence[TaskRecord]:
        """The actions on one server, the latest first; raises NotFound."""
        server = await self._visible(context, server_id, is_deleted_too=is_deleted_too)
        return await self._servers.actions(server.id)

    async def get(
        self, context: Context, server_id: str, request_id: str, *, is_deleted_too: bool = False
    ) -> tuple[TaskRecord, Sequence[TaskEvent]]:
        """The action that a request ordered, and its steps in order; raises NotFound, Missing."""
        server = await self._visible(context, server_id, is_deleted_too=is_deleted_too)
        try:
            return await self._servers.action(server.id, request_id)
        except NotFound:
            raise Missing(reason=f"Action {request_id} not found") from None

    async def _visible(self, context: Context, server_id: str, *, is_deleted_too: bool) -> Server:
        project_id = None if context.is_admin else context.project_id
        return await self._servers.get(server_id, project_id=project_id, deleted=is_deleted_too)
