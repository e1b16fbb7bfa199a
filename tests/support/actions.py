"""What is done to one server where it is, in a cloud without front doors: ordered as nova-api orders it, and looked at from every side."""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Conductor
from novaflow.db.schema.compute import server_history
from novaflow.messages import (
    BACKUP_INSTANCE,
    MOVE_SERVER,
    PAUSE_INSTANCE,
    REBUILD_INSTANCE,
    RESCUE_INSTANCE,
    RESTORE_INSTANCE,
    RESUME_INSTANCE,
    SET_ADMIN_PASSWORD,
    SHELVE_INSTANCE,
    SHELVE_OFFLOAD_INSTANCE,
    SNAPSHOT_INSTANCE,
    SOFT_DELETE_INSTANCE,
    SUSPEND_INSTANCE,
    UNPAUSE_INSTANCE,
    UNRESCUE_INSTANCE,
    UNSHELVE_INSTANCE,
    MoveServer,
    PasswordOrder,
)
from novaflow.models import Server
from novaflow.states import Event, Task
from novaflow.tasks import TaskParams
from novaflow.virt.fake import FakeGuest
from rpc.procedure import Cast
from tests.support.cloud import USER, Cloud

IMAGE: Final = "shot"  # the image that snapshots, backups and the shelf fill
LONG: Final = Conductor(task_lease=60.0, recovery_interval=0.1)  # what happens at once does not happen by this
_ORDERS: Final[dict[str, tuple[Event, Cast[Any]]]] = {
    "pause": (Event.PAUSE_ORDERED, PAUSE_INSTANCE),
    "unpause": (Event.UNPAUSE_ORDERED, UNPAUSE_INSTANCE),
    "suspend": (Event.SUSPEND_ORDERED, SUSPEND_INSTANCE),
    "resume": (Event.RESUME_ORDERED, RESUME_INSTANCE),
    "rescue": (Event.RESCUE_ORDERED, RESCUE_INSTANCE),
    "unrescue": (Event.UNRESCUE_ORDERED, UNRESCUE_INSTANCE),
    "rebuild": (Event.REBUILD_ORDERED, REBUILD_INSTANCE),
    "changePassword": (Event.PASSWORD_ORDERED, SET_ADMIN_PASSWORD),
    "createImage": (Event.SNAPSHOT_ORDERED, SNAPSHOT_INSTANCE),
    "createBackup": (Event.BACKUP_ORDERED, BACKUP_INSTANCE),
    "shelve": (Event.SHELVE_ORDERED, SHELVE_INSTANCE),
    "shelveOffload": (Event.OFFLOAD_ORDERED, SHELVE_OFFLOAD_INSTANCE),
    "unshelve": (Event.UNSHELVE_ORDERED, UNSHELVE_INSTANCE),
    "softDelete": (Event.SOFT_DELETE_ORDERED, SOFT_DELETE_INSTANCE),
    "restore": (Event.RESTORE_ORDERED, RESTORE_INSTANCE),
}
_NAMES: Final = {"softDelete": "delete"}


async def act(
    world: Cloud,
    server: Server,
    action: str,
    *,
    settle: bool = True,
    password: str = "",
    changes: dict[str, Any] | None = None,
    **params: Any,
) -> Server:
    """Accept an action with these parameters, order it of the server's host, and with `settle` wait for what becomes of it."""
    event, _ = _ORDERS[action]
    now = await world.server(server.id)
    ordered = await world.servers.order(
        USER, now, _NAMES.get(action, action), event, params=TaskParams(**params), changes=changes
    )
    await cast(world, ordered, action, password=password)
    return await settled(world, server.id) if settle else ordered


async def cast(world: Cloud, server: Server, action: str, *, password: str = "") -> None:
    """Send the order of an accepted action, again if need be."""
    _, procedure = _ORDERS[action]
    order: dict[str, Any] = {"context": USER, "server_id": server.id, "task_id": server.task_id}
    if procedure.request is MoveServer:
        order["spec"] = await world.servers.spec(server.id)
    if procedure.request is PasswordOrder:
        order["admin_password"] = password
    await world.bus.cast(procedure.at(server.host) if server.host else MOVE_SERVER, procedure.request(**order))


async def settled(world: Cloud, server_id: str) -> Server:
    """The server once no task owns it, in whatever state."""

    async def is_settled() -> bool:
        return (await world.server(server_id)).task_id is None

    await world.until(is_settled)
    return await world.server(server_id)


async def task_states(world: Cloud, server: Server) -> list[str | None]:
    """What the API has shown as task_state since the server's last task was ordered, None for no task; as Nova's would."""
    (task, *_) = await world.servers.actions(server.id)
    columns = (server_history.c.vm_after, server_history.c.task_after)
    rows = select(*columns).where(server_history.c.task_id == task.id).order_by(server_history.c.id)

    async def work(connection: AsyncConnection) -> list[str | None]:
        return [Task(row.task_after).wire for row in await connection.execute(rows)]

    return await world.database.read(work)


def guest_of(world: Cloud, server: Server) -> FakeGuest:
    """The server's guest as nobody sees it from outside."""
    return world.drivers[server.host or ""].inside(server.id)


def leftovers(world: Cloud) -> list[str]:
    """Files of copies that should be gone."""
    return sorted(path.name for path in world.directory.glob("compute/*/snapshots/*"))


async def last_task(world: Cloud, server: Server) -> tuple[str, str, str | None]:
    """Name, end and message of the server's last task."""
    (task, *_) = await world.servers.actions(server.id)
    return task.action, task.state, task.message
