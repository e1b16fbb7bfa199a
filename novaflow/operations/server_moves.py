"""Moves of servers that administrators order: live ones, and those away from a host that is dead. And what is known of all moves.

Texts are Nova's (nova/exception.py, nova/api/openstack/compute/evacuate.py and server_migrations.py).
"""

from collections.abc import Sequence
from typing import Final

from novaflow import guards
from novaflow.db import accompaniments
from novaflow.db.migration_records import MigrationQuery, Migrations
from novaflow.db.moving import EVACUATION, LIVE
from novaflow.errors import Invalid, Missing, NotFound, TaskSuperseded, WrongState
from novaflow.messages import LIVE_MIGRATION_ABORT, LIVE_MIGRATION_FORCE_COMPLETE
from novaflow.models import Context, Server
from novaflow.operations.rights import admin_only
from novaflow.operations.server_orders import ServerOrders, host_of, order_of
from novaflow.states import Event, Task, Vm
from novaflow.tasks import ABORTING, Migration

_LIVE_RULE: Final = "os_compute_api:os-migrate-server:migrate_live"
_MIGRATIONS_RULE: Final = "os_compute_api:servers:migrations:{}"
_LIVE_STATUS: Final = {"accepted": "queued", "pre-migrating": "running", ABORTING: "running"}
IN_PROGRESS: Final = ("queued", "preparing", "running", "post-migrating")


class ServerMoves:
    """All are for administrators and raise Forbidden, and NotFound."""

    def __init__(self, orders: ServerOrders, migrations: Migrations) -> None:
        self._orders = orders
        self._migrations = migrations

    async def live_migrate(
        self, context: Context, server_id: str, target_host: str, *, copies_disks: bool = True
    ) -> None:
        """Move a running server, to the host named or to one that the scheduler finds.

        Raises WrongState, Invalid for a host that is none, is down, or is its own, and where disks shall not be copied: they are on no
        shared storage here.
        """
        admin_only(context, _LIVE_RULE)
        server = await self._orders.get(context, server_id)
        self._orders.check(context, server, Event.LIVE_MIGRATION_ORDERED, "os-migrateLive")
        await self._check_hosts(server, target_host)
        if not copies_disks:
            raise Invalid(
                reason=f"{server.id} is not on shared storage: Shared storage live-migration requires either shared storage"
                " or boot-from-volume with no local disks."
            )
        await self._move(context, server, Event.LIVE_MIGRATION_ORDERED, LIVE, target_host)

    async def evacuate(self, context: Context, server_id: str, target_host: str, *, admin_password: str) -> None:
        """Make a server anew on another host, its own being down. Raises WrongState, Missing, Invalid."""
        admin_only(context, "os_compute_api:os-evacuate")
        server = await self._orders.get(context, server_id)
        if target_host and await self._orders.host(target_host) is None:
            raise Missing(reason=f"Compute host {target_host} not found.")
        if target_host and target_host == server.host:
            raise Invalid(reason="The target host can't be the same one.")
        self._orders.check(context, server, Event.EVACUATE_ORDERED)
        if await self._orders.is_up(server.host):
            raise Invalid(reason=f"Compute service of {server.host} is still in use.")
        await self._move(
            context, server, Event.EVACUATE_ORDERED, EVACUATION, target_host, admin_password=admin_password
        )

    async def in_progress(self, context: Context, server_id: str) -> Sequence[Migration]:
        """The live migrations of a server that are under way."""
        admin_only(context, _MIGRATIONS_RULE.format("index"))
        server = await self._orders.get(context, server_id)
        found = await self._migrations.list(MigrationQuery(server_id=server.id, type=LIVE))
        return [move for move in found if status_of(move) in IN_PROGRESS]

    async def get(self, context: Context, server_id: str, migration_id: int) -> Migration:
        """One of them. Raises Missing."""
        admin_only(context, _MIGRATIONS_RULE.format("show"))
        server = await self._orders.get(context, server_id)
        try:
            move = await self._migrations.get(server.id, migration_id)
        except NotFound:
            said = f"In-progress live migration {migration_id} is not found for server {server.id}."
            raise Missing(reason=said) from None
        if move.type != LIVE:
            raise Missing(reason=f"Migration {migration_id} for server {server.id} is not live-migration.")
        if status_of(move) not in IN_PROGRESS:
            raise Missing(reason=f"Live migration {migration_id} for server {server.id} is not in progress.")
        return move

    async def abort(self, context: Context, server_id: str, migration_id: int) -> None:
        """Let a server stay where it is. Raises WrongState, Missing, Invalid when it is too late.

        It is recorded first, so that a source that dies before it has stopped does not go on with it afterwards.
        """
        admin_only(context, _MIGRATIONS_RULE.format("delete"))
        server = await self._migrating(context, server_id, "abort live migration")
        try:
            move = await self._running(server, migration_id, "abort live migration")
        except NotFound:
            said = f"Migration {migration_id} not found for instance {server.id}"
            raise Missing(reason=said) from None
        await self._record(context, server, Event.ABORT_WANTED, "abort live migration")
        await self._orders.send(LIVE_MIGRATION_ABORT.at(move.source_host), order_of(context, server))

    async def force_complete(self, context: Context, server_id: str, migration_id: int) -> None:
        """Have a server that changes faster than it can be copied stand still until it has arrived. Raises WrongState, Invalid."""
        admin_only(context, _MIGRATIONS_RULE.format("force_complete"))
        server = await self._migrating(context, server_id, "force_complete", of=(Vm.ACTIVE,))
        try:
            move = await self._running(server, migration_id, "force complete")
        except NotFound:
            said = f"Migration {migration_id} not found for instance {server.id}"
            raise Invalid(reason=said) from None
        await self._record(context, server, Event.COMPLETION_WANTED, "force_complete")
        await self._orders.send(LIVE_MIGRATION_FORCE_COMPLETE.at(move.source_host), order_of(context, server))

    async def list(self, context: Context, query: MigrationQuery, status: str | None = None) -> Sequence[Migration]:
        """All moves of all servers that answer to the query."""
        admin_only(context, "os_compute_api:os-migrations:index")
        found = await self._migrations.list(query)
        return [move for move in found if status is None or status_of(move) == status]

    async def _check_hosts(self, server: Server, target_host: str) -> None:
        source = host_of(server)
        if target_host and await self._orders.host(target_host) is None:
            raise Invalid(reason=f"Compute host {target_host} could not be found.")
        if target_host == source:
            raise Invalid(reason=f"Unable to migrate instance ({server.id}) to current host ({source}).")
        for host in (source, target_host):
            if host and not await self._orders.is_up(host):
                raise Invalid(reason=f"Compute service of {host} is unavailable at this time.")

    async def _move(
        self,
        context: Context,
        server: Server,
        event: Event,
        kind: str,
        target_host: str,
        *,
        admin_password: str = "",
    ) -> None:
        accompany = accompaniments.of_move(kind, self._orders.config.quota, target_host=target_host)
        ordered = await self._orders.accept(context, server, event, accompany=accompany)
        await self._orders.send_to_scheduler(context, ordered, admin_password=admin_password)

    async def _migrating(
        self, context: Context, server_id: str, action: str, of: Sequence[Vm] = (Vm.ACTIVE, Vm.PAUSED)
    ) -> Server:
        server = await self._orders.get(context, server_id)
        guards.refuse_locked(context, server)
        if server.task is Task.MIGRATING and server.vm not in of:
            raise WrongState(action=action, server_id=server.id, attribute="vm_state", state=server.vm)
        if server.task is not Task.MIGRATING:
            raise _not_migrating(server, action)
        return server

    async def _record(self, context: Context, server: Server, event: Event, action: str) -> None:
        try:
            await self._orders.servers.advance(server.id, server.task_id or "", event)
        except TaskSuperseded:  # it ended this moment
            raise _not_migrating(await self._orders.get(context, server.id), action) from None

    async def _running(self, server: Server, migration_id: int, method: str) -> Migration:
        """The live migration that its source is at. Raises NotFound, Invalid for one that has not begun or is over."""
        move = await self._migrations.get(server.id, migration_id)
        if move.type != LIVE or status_of(move) != "running":
            raise Invalid(
                reason=f"Migration {migration_id} state of instance {server.id} is {status_of(move)}."
                f" Cannot {method} while the migration is in this state."
            )
        return move


def _not_migrating(server: Server, action: str) -> WrongState:
    return WrongState(action=action, server_id=server.id, attribute="task_state", state=str(server.task.wire))


def status_of(move: Migration) -> str:
    """How far a move got, in Nova's words, which differ for live ones."""
    return _LIVE_STATUS.get(move.status, move.status) if move.type == LIVE else move.status
