"""Rows of servers and tasks as values.

Column labels are the names of the values' fields, in one select, so that a row becomes a value
without a lookup per field. The large columns of a build are not among them.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.sql.elements import ColumnElement

from novaflow.db.ec2_ids import INSTANCE, shown
from novaflow.db.schema.compute import server_builds, servers, tasks
from novaflow.db.schema.ec2 import ec2_ids
from novaflow.models import BuildPlan, Ec2Names, Server
from novaflow.states import Vm
from novaflow.tasks import TaskParams, TaskRecord

_HAVE_FAULTS: Final = (Vm.ERROR, Vm.DELETED)  # as in nova/api/openstack/compute/views/servers.py

SERVER_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = tuple(servers.c[name] for name in Server.__struct_fields__)
_EC2_NUMBER: Final = (
    select(ec2_ids.c.number)
    .where(ec2_ids.c.kind == INSTANCE, ec2_ids.c.resource_id == servers.c.id)
    .correlate(servers)
    .scalar_subquery()
)
PLAN_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = (
    *SERVER_COLUMNS,
    *(server_builds.c[name] for name in ("image", "user_data", "files", "public_key")),
    _EC2_NUMBER.label("ec2_number"),
)
TASK_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = tuple(
    tasks.c.moved_at.label(name) if name == "updated_at" else tasks.c[name] for name in TaskRecord.__struct_fields__
)
_SERVER_FIELDS: Final = Server.__struct_fields__
_TASK_FIELDS: Final = TaskRecord.__struct_fields__
_FAULT: Final = _SERVER_FIELDS.index("fault")
_VM: Final = _SERVER_FIELDS.index("vm")


def server_of(values: Row[Any] | Sequence[Any]) -> Server:
    """A server from SERVER_COLUMNS. The fault of the last failed task is told only of servers that still suffer from it."""
    fields = dict(zip(_SERVER_FIELDS, values, strict=True))
    if fields["fault"] is not None and fields["vm"] not in _HAVE_FAULTS:
        fields["fault"] = None
    return Server(**fields)


def plan_of(row: Sequence[Any]) -> BuildPlan:
    """A build plan from PLAN_COLUMNS; of EC2's names it has the server's alone, if it was given one when it was made."""
    image, user_data, files, public_key, number = row[len(_SERVER_FIELDS) :]
    return BuildPlan(
        server=server_of(row[: len(_SERVER_FIELDS)]),
        image=image,
        user_data=user_data,
        files=files,
        public_key=public_key,
        ec2=Ec2Names(instance="" if number is None else shown("i", number)),
    )


def task_of(values: Row[Any] | Sequence[Any]) -> TaskRecord:
    """A task from TASK_COLUMNS."""
    fields = dict(zip(_TASK_FIELDS, values, strict=True))
    fields["params"] = fields["params"] or TaskParams()
    return TaskRecord(**fields)
