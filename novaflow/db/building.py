"""Starting a build: the transition and, from the same read, everything the compute host needs.

A start that repeats itself is a build that was interrupted. Nothing else counts those that kill their worker before anybody hears of
it, so the history does: it has a row for every start.
"""

from dataclasses import replace
from typing import Final

import msgspec
from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.booked_volumes import BOOKED, planned
from novaflow.db.records import PLAN_COLUMNS, plan_of
from novaflow.db.schema.compute import server_builds, server_history, servers
from novaflow.db.standing import Standing
from novaflow.db.transitions import Moved, Step, move_locked
from novaflow.errors import BuildGivenUp, NotFound, TaskSuperseded
from novaflow.models import BuildPlan, Fault, RequestSpec
from novaflow.states import SCHEDULING, Event

_SIZES: Final = (servers.c.vcpus, servers.c.ram_mb, servers.c.disk_gb)
_PLAN: Final = (
    select(*PLAN_COLUMNS, BOOKED.label("volumes"), *_SIZES)
    .join_from(servers, server_builds, server_builds.c.server_id == servers.c.id)
    .where(servers.c.id == bindparam("b_id"))
    .with_for_update()
)
_SPEC: Final = (
    select(
        servers.c.project_id,
        servers.c.user_id,
        servers.c.flavor,
        server_builds.c.image,
        server_builds.c.availability_zone,
        server_builds.c.force_host,
        server_builds.c.hints,
    )
    .join_from(servers, server_builds, server_builds.c.server_id == servers.c.id)
    .where(servers.c.id == bindparam("b_id"))
)
_STARTS: Final = select(func.count()).where(
    server_history.c.server_id == bindparam("b_id"),
    server_history.c.task_id == bindparam("b_task_id"),
    server_history.c.event == Event.BUILD_STARTED,
    server_history.c.host == bindparam("b_host"),
)
_SPEC_FIELDS: Final = ("project_id", "user_id", "flavor", "image", "availability_zone", "force_host", "hints")


async def start(connection: AsyncConnection, step: Step, at_most: int) -> tuple[BuildPlan | BuildGivenUp, Moved]:
    """Make the step BUILD_STARTED; the plan shows the server as it is afterwards. Raises as `move`.

    After `at_most` starts on this host the build ends with a fault instead, which is the answer.
    """
    row = (await connection.execute(_PLAN, {"b_id": step.server_id})).one_or_none()
    if row is None:
        raise TaskSuperseded(server_id=step.server_id, task_id=step.task_id)
    *facts, booked = row[: -len(_SIZES)]
    plan = plan_of(facts)
    server = plan.server
    owner = (server.project_id, server.user_id)
    standing = Standing(server.id, server.state, server.task_id, server.host, *owner, *row[-len(_SIZES) :])
    if await _is_hopeless(connection, step, standing, at_most):
        why = BuildGivenUp(server_id=server.id, host=step.host or "", times=at_most)
        fault = Fault(code=why.status, message=str(why), created_at=step.now)
        return why, await move_locked(connection, replace(step, event=Event.BUILD_FAILED, fault=fault), standing)
    moved = await move_locked(connection, step, standing)
    after = msgspec.structs.replace(server, vm=moved.state.vm, task=moved.state.task, updated_at=step.now)
    volumes = await planned(connection, server.id) if booked else ()
    return msgspec.structs.replace(plan, server=after, volumes=volumes), moved


async def _is_hopeless(connection: AsyncConnection, step: Step, server: Standing, at_most: int) -> bool:
    if server.state == SCHEDULING or (server.task_id, server.host) != (step.task_id, step.host):
        return False  # a first start, which need not be counted, or not ours to judge
    values = {"b_id": step.server_id, "b_task_id": step.task_id, "b_host": step.host}
    return int((await connection.execute(_STARTS, values)).scalar_one()) >= at_most


async def spec(connection: AsyncConnection, server_id: str) -> RequestSpec:
    """What the scheduler decides upon, from what was recorded. Raises NotFound."""
    row = (await connection.execute(_SPEC, {"b_id": server_id})).one_or_none()
    if row is None:
        raise NotFound(kind="Instance", key=server_id)
    return RequestSpec(**dict(zip(_SPEC_FIELDS, row, strict=True)))
