"""Rows of servers and tasks as values.

Column labels are the names of the values' fields, in one select, so that a row becomes a value
without a lookup per field. The large columns of a build are not among them.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.sql.elements import ColumnElement

from novaflow.db.schema.compute import server_builds, servers, tasks
from novaflow.models import BuildPlan, Server
from novaflow.states import Vm
from novaflow.tasks import TaskParams, TaskRecord

_HAVE_FAULTS: Final = (Vm.ERROR, Vm.DELETED)  # as in nova/api/openstack/compute/views/servers.py

SERVER_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = tuple(servers.c[name] for name in Server.__struct_fields__)
BUILD_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = tuple(
    server_builds.c[name] for name in ("image", "user_data", "files", "public_key")
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
    """A build plan from SERVER_COLUMNS and BUILD_COLUMNS."""
    image, user_data, files, public_key = row[len(_SERVER_FIELDS) :]
    server = server_of(row[: len(_SERVER_FIELDS)])
    return BuildPlan(server=server, image=image, user_data=user_data, files=files, public_key=public_key)


def task_of(values: Row[Any] | Sequence[Any]) -> TaskRecord:
    """A task from TASK_COLUMNS."""
    fields = dict(zip(_TASK_FIELDS, values, strict=True))
    fields["params"] = fields["params"] or TaskParams()
    return TaskRecord(**fields)
