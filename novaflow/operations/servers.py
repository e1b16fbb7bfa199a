"""Servers as their owners see and describe them: shown, listed, renamed, annotated.

Metadata and tags are changed by reading, changing and writing them back, as in Nova: of two clients that change
different items of one server in the same moment, the later one may undo the earlier one's change.
"""

from collections.abc import Sequence
from typing import Any, Final

from novaflow.config import Config
from novaflow.db.quotas import Quotas
from novaflow.db.servers import ServerQuery, Servers
from novaflow.errors import Invalid, Missing, WrongState
from novaflow.models import Context, Server
from novaflow.operations.boot_rules import check_metadata
from novaflow.states import Vm

MAX_TAGS: Final = 50

_ANNOTATED_IN: Final = (Vm.ACTIVE, Vm.STOPPED)


def visible_project(context: Context) -> str | None:
    """The project whose servers the caller sees; None for administrators, who see every project's."""
    return None if context.is_admin else context.project_id


class ServerOperations:
    """What can be asked of and said about servers. Other projects' servers are NotFound."""

    def __init__(self, servers: Servers, quotas: Quotas, config: Config) -> None:
        self._servers = servers
        self._quotas = quotas
        self._config = config

    async def get(self, context: Context, server_id: str) -> Server:
        """One server."""
        return await self._servers.get(server_id, project_id=visible_project(context))

    async def list(self, query: ServerQuery) -> Sequence[Server]:
        """The servers the query selects; whose they may be is settled in the query. Raises Invalid for an unknown marker."""
        return await self._servers.list(query) if query.limit != 0 else []

    async def update(self, context: Context, server_id: str, changes: dict[str, Any]) -> Server:
        """Change what `changes` names: name, description, access_ipv4, access_ipv6, disk_config."""
        return await self._servers.update(server_id, visible_project(context), **changes)

    async def add_metadata(self, context: Context, server_id: str, items: dict[str, str]) -> dict[str, str]:
        """Set these items and keep the others; answers all of them. Raises WrongState, LimitExceeded."""
        server = await self._annotated(context, server_id, "update metadata")
        return await self._set_metadata(server, {**server.metadata, **items})

    async def replace_metadata(self, context: Context, server_id: str, items: dict[str, str]) -> dict[str, str]:
        """Set these items and drop the others. Raises WrongState, LimitExceeded."""
        return await self._set_metadata(await self._annotated(context, server_id, "update metadata"), items)

    async def remove_metadata(self, context: Context, server_id: str, key: str) -> None:
        """Drop one item; raises Missing when there is none, WrongState."""
        server = await self.get(context, server_id)
        if key not in server.metadata:
            raise Missing(reason="Metadata item was not found")
        _refuse_unsettled(server, "delete metadata")
        await self._set_metadata(server, {name: value for name, value in server.metadata.items() if name != key})

    async def replace_tags(self, context: Context, server_id: str, tags: Sequence[str]) -> Sequence[str]:
        """Set these tags, each once, and drop the others. Raises WrongState."""
        server = await self._annotated(context, server_id, "update tags" if tags else "delete tags")
        return await self._set_tags(server, tuple(dict.fromkeys(tags)))

    async def add_tag(self, context: Context, server_id: str, tag: str) -> bool:
        """Add one tag; False when it is there already. Raises WrongState, Invalid when there are too many."""
        server = await self._annotated(context, server_id, "update tag")
        if len(server.tags) >= MAX_TAGS:
            raise Invalid(reason=f"The number of tags exceeded the per-server limit {MAX_TAGS}")
        if tag in server.tags:
            return False
        await self._set_tags(server, (*server.tags, tag))
        return True

    async def remove_tag(self, context: Context, server_id: str, tag: str) -> None:
        """Drop one tag; raises Missing when there is none, WrongState."""
        server = await self._annotated(context, server_id, "delete tag")
        if tag not in server.tags:
            raise Missing(reason=f"Server {server_id} has no tag '{tag}'")
        await self._set_tags(server, tuple(one for one in server.tags if one != tag))

    async def _annotated(self, context: Context, server_id: str, action: str) -> Server:
        server = await self.get(context, server_id)
        _refuse_unsettled(server, action)
        return server

    async def _set_metadata(self, server: Server, metadata: dict[str, str]) -> dict[str, str]:
        check_metadata(metadata, await self._quotas.limits(server.project_id, self._config.quota))
        return (await self._servers.update(server.id, server.project_id, metadata=metadata)).metadata

    async def _set_tags(self, server: Server, tags: tuple[str, ...]) -> Sequence[str]:
        return (await self._servers.update(server.id, server.project_id, tags=tags)).tags


def _refuse_unsettled(server: Server, action: str) -> None:
    """Nova lets a server be annotated while it is active, paused, suspended or stopped."""
    if server.vm not in _ANNOTATED_IN:
        raise WrongState(action=action, server_id=server.id, attribute="vm_state", state=server.vm.value)
