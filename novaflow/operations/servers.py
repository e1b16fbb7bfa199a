"""Servers as their owners see and describe them: shown, listed, renamed, annotated.

Metadata and tags are changed by what they are when they are changed, with the server's row locked: clients that change different
items of one server in the same moment all get their way, and its quota counts what is there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from novaflow.config import Config
from novaflow.db.quotas import Quotas
from novaflow.db.servers import ServerQuery, Servers
from novaflow.errors import Invalid, Missing, WrongState
from novaflow.guards import refuse_locked
from novaflow.models import Context, Server, ServerName
from novaflow.operations.boot_rules import check_metadata
from novaflow.operations.rights import admin_only
from novaflow.states import Vm

MAX_TAGS: Final = 50

_ANNOTATED_IN: Final = (Vm.ACTIVE, Vm.PAUSED, Vm.SUSPENDED, Vm.STOPPED)
_USER_DATA_RULE: Final = "os_compute_api:os-extended-server-attributes"
Annotation = Mapping[str, Any]


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

    async def get_in_full(self, context: Context, server_id: str) -> tuple[Server, str | None]:
        """One server, and what it was given as user data, in base64; None without any. Only administrators may see it."""
        admin_only(context, _USER_DATA_RULE)
        server, user_data = await self._servers.get_in_full(server_id, project_id=visible_project(context))
        return server, user_data or None

    async def user_data(self, context: Context, server_id: str) -> str:
        """What a server of the caller's was given as user data, in base64; empty without any."""
        _, user_data = await self._servers.get_in_full(server_id, project_id=visible_project(context))
        return user_data

    async def list(self, query: ServerQuery) -> Sequence[Server]:
        """The servers the query selects; whose they may be is settled in the query. Raises Invalid for an unknown marker."""
        return await self._servers.list(query) if query.limit != 0 else []

    async def names(self, query: ServerQuery) -> Sequence[ServerName]:
        """The same by id and name alone. Raises Invalid for an unknown marker."""
        return await self._servers.names(query) if query.limit != 0 else []

    async def update(self, context: Context, server_id: str, changes: dict[str, Any]) -> Server:
        """Change what `changes` names: name, description, access_ipv4, access_ipv6, disk_config."""
        return await self._servers.update(server_id, visible_project(context), **changes)

    async def add_metadata(self, context: Context, server_id: str, items: dict[str, str]) -> dict[str, str]:
        """Set these items and keep the others; answers all of them. Raises Locked, WrongState, LimitExceeded."""
        return await self._set_metadata(context, server_id, lambda server: {**server.metadata, **items})

    async def replace_metadata(self, context: Context, server_id: str, items: dict[str, str]) -> dict[str, str]:
        """Set these items and drop the others. Raises Locked, WrongState, LimitExceeded."""
        return await self._set_metadata(context, server_id, lambda _: items)

    async def remove_metadata(self, context: Context, server_id: str, key: str) -> None:
        """Drop one item; raises Missing when there is none, Locked, WrongState."""

        def without_it(server: Server) -> Annotation:
            if key not in server.metadata:
                raise Missing(reason="Metadata item was not found")
            refuse_locked(context, server)
            _refuse_unsettled(server, "delete metadata")
            return {"metadata": {name: value for name, value in server.metadata.items() if name != key}}

        await self._servers.annotate(server_id, visible_project(context), without_it)

    async def replace_tags(self, context: Context, server_id: str, tags: Sequence[str]) -> Sequence[str]:
        """Set these tags, each once, and drop the others. Raises WrongState."""

        def these(server: Server) -> Annotation:
            _refuse_unsettled(server, "update tags" if tags else "delete tags")
            return {"tags": tuple(dict.fromkeys(tags))}

        return (await self._servers.annotate(server_id, visible_project(context), these)).tags

    async def add_tag(self, context: Context, server_id: str, tag: str) -> bool:
        """Add one tag; False when it is there already. Raises WrongState, Invalid when there are too many."""
        is_new = False

        def with_it(server: Server) -> Annotation:
            nonlocal is_new
            _refuse_unsettled(server, "update tag")
            if tag in server.tags:
                return {}
            if len(server.tags) >= MAX_TAGS:
                raise Invalid(reason=f"The number of tags exceeded the per-server limit {MAX_TAGS}")
            is_new = True
            return {"tags": (*server.tags, tag)}

        await self._servers.annotate(server_id, visible_project(context), with_it)
        return is_new

    async def remove_tag(self, context: Context, server_id: str, tag: str) -> None:
        """Drop one tag; raises Missing when there is none, WrongState."""

        def without_it(server: Server) -> Annotation:
            _refuse_unsettled(server, "delete tag")
            if tag not in server.tags:
                raise Missing(reason=f"Server {server_id} has no tag '{tag}'")
            return {"tags": tuple(one for one in server.tags if one != tag)}

        await self._servers.annotate(server_id, visible_project(context), without_it)

    async def _set_metadata(
        self, context: Context, server_id: str, items: Callable[[Server], dict[str, str]]
    ) -> dict[str, str]:
        project_id = visible_project(context) or (await self.get(context, server_id)).project_id
        limits = await self._quotas.limits(project_id, self._config.quota)

        def set_items(server: Server) -> Annotation:
            refuse_locked(context, server)
            _refuse_unsettled(server, "update metadata")
            metadata = items(server)
            check_metadata(metadata, limits)
            return {"metadata": metadata}

        return (await self._servers.annotate(server_id, project_id, set_items)).metadata


def _refuse_unsettled(server: Server, action: str) -> None:
    """Nova lets a server be annotated while it is active, paused, suspended or stopped."""
    if server.vm not in _ANNOTATED_IN:
        raise WrongState(action=action, server_id=server.id, attribute="vm_state", state=server.vm.value)
