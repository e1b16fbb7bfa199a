"""What else is written when an action is accepted: a move and the quota it grows by, what a rebuilt server is made of.

Each function makes an `orders.Accompany`: it runs in the transaction that gives the server to its task, the server's row being locked by
then, and raises what forbids the action, which then has not happened.
"""

from typing import Final

import msgspec
from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import moving, standing, tasks, usages
from novaflow.db.orders import NO_PARAMS, Accompany, Order
from novaflow.db.schema.compute import server_builds, servers
from novaflow.db.schema.compute import tasks as task_table
from novaflow.errors import Invalid, TaskSuperseded
from novaflow.models import Flavor, ImageFacts, InjectedFile
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import Vm
from novaflow.tasks import TaskParams

SHELVE: Final = "shelve"
NEVER_RESIZED: Final = "Instance has not been resized."
_MOVER: Final = select(servers.c.host, servers.c.flavor, servers.c.vm, servers.c.project_id, servers.c.user_id).where(
    servers.c.id == bindparam("b_id")
)
_REMAKE: Final = (
    update(server_builds)
    .where(server_builds.c.server_id == bindparam("b_id"))
    .values(image=bindparam("b_image"), files=bindparam("b_files"))
)
_ON_THE_SHELF: Final = (
    select(task_table.c.params)
    .where(
        task_table.c.server_id == bindparam("b_id"),
        task_table.c.action == SHELVE,
        task_table.c.state == tasks.DONE,
    )
    .order_by(task_table.c.created_at.desc(), task_table.c.id.desc())
    .limit(1)
)


def of_move(kind: str, defaults: QuotaLimits, *, new: Flavor | None = None, target_host: str = "") -> Accompany:
    """A move begins: to another flavor, if there is a `new` one, whose greater need is reserved. Raises QuotaExceeded.

    `defaults` are the limits where the database has none.
    """

    async def write(connection: AsyncConnection, order: Order) -> TaskParams:
        mover = (await connection.execute(_MOVER, {"b_id": order.server_id})).one()
        migration = moving.accepted(
            server_id=order.server_id,
            task_id=order.task_id,
            kind=kind,
            source_host=mover.host,
            old=mover.flavor,
            new=new or mover.flavor,
            old_vm=mover.vm,
            project_id=mover.project_id,
            user_id=mover.user_id,
            now=order.now,
        )
        number = await moving.add(connection, migration)
        ask = growth(mover.flavor, migration.new_flavor)
        if ask != Usage():
            who = {"project_id": mover.project_id, "user_id": mover.user_id}
            await usages.reserve_servers(connection, ask, defaults, **who)
        return msgspec.structs.replace(
            order.params, migration_id=number, target_host=target_host, keeps_off=mover.vm is Vm.STOPPED
        )

    return write


def growth(old: Flavor, new: Flavor) -> Usage:
    """What a server of the old flavor reserves to become one of the new: while it is neither, the larger counts of each resource."""
    return Usage(cores=max(new.vcpus - old.vcpus, 0), ram=max(new.ram_mb - old.ram_mb, 0))


def of_settled_resize() -> Accompany:
    """A resize is confirmed or taken back. Raises Invalid when there is none."""

    async def write(connection: AsyncConnection, order: Order) -> TaskParams:
        move = await moving.current(connection, order.server_id)
        if move is None:
            raise Invalid(reason=NEVER_RESIZED)
        keeps_off = move.migration.old_vm is Vm.STOPPED
        return msgspec.structs.replace(order.params, migration_id=move.migration.id, keeps_off=keeps_off)

    return write


def of_rebuild(image: ImageFacts, files: tuple[InjectedFile, ...]) -> Accompany:
    """What the server is made of from now on. One that was off shall be off again."""

    async def write(connection: AsyncConnection, order: Order) -> TaskParams:
        await connection.execute(_REMAKE, {"b_id": order.server_id, "b_image": image, "b_files": files})
        mover = (await connection.execute(_MOVER, {"b_id": order.server_id})).one()
        return msgspec.structs.replace(order.params, image_id=image.id, keeps_off=mover.vm is Vm.STOPPED)

    return write


def of_restore(defaults: QuotaLimits) -> Accompany:
    """A server that comes back counts in its quota again. Raises QuotaExceeded."""

    async def write(connection: AsyncConnection, order: Order) -> TaskParams:
        server = await standing.lock(connection, order.server_id)
        if server is None:
            raise TaskSuperseded(server_id=order.server_id, task_id=order.task_id)
        who = {"project_id": server.project_id, "user_id": server.user_id}
        await usages.reserve_servers(connection, standing.usage_of(server), defaults, **who)
        return order.params

    return write


def of_unshelving() -> Accompany:
    """The image that the server was shelved as is what it comes back from; empty when it is not known."""

    async def write(connection: AsyncConnection, order: Order) -> TaskParams:
        kept = await shelved_as(connection, order.server_id)
        return msgspec.structs.replace(order.params, image_id=kept.image_id, image_name=kept.image_name)

    return write


async def shelved_as(connection: AsyncConnection, server_id: str) -> TaskParams:
    """What a server was last shelved with; nothing in it when it never was."""
    found = (await connection.execute(_ON_THE_SHELF, {"b_id": server_id})).scalar_one_or_none()
    return found or NO_PARAMS
