"""Volumes and their snapshots, and how their status moves: an order begins, and its worker says how it ended.

Names are Cinder's, which was nova-volume. One that a server is built with is reserved for it until its guest runs. A volume is an
order's as a server is a task's: its `order_id` fences every report. It is no host's until a server gets it; then it is that server's
host's for ever, for its file is there.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from novaflow.models import Value
from novaflow.states import Event, Vm


class Status(StrEnum):
    """Of a volume or a snapshot."""

    AVAILABLE = "available"
    RESERVED = "reserved"  # for a server that is being built
    ATTACHING = "attaching"
    IN_USE = "in-use"
    DETACHING = "detaching"
    CREATING = "creating"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"


class Volume(Value, frozen=True, kw_only=True):
    """A disk that outlives the servers that have it. `device` is what the server has it as (vdb)."""

    id: str
    project_id: str
    user_id: str
    size_gb: int
    status: Status
    created_at: datetime
    updated_at: datetime
    name: str = ""
    description: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    availability_zone: str = ""
    host: str | None = None
    snapshot_id: str | None = None  # what it was made of
    server_id: str | None = None
    device: str = ""
    attached_at: datetime | None = None
    delete_on_termination: bool = False  # it ends with the server that has it
    order_id: str = ""  # the last order, whether it runs or not
    fault: str = ""  # why that failed


class VolumeSnapshot(Value, frozen=True, kw_only=True):
    """What was on a volume at one moment. It stands alone: the volume may go."""

    id: str
    project_id: str
    user_id: str
    volume_id: str
    size_gb: int
    status: Status
    created_at: datetime
    updated_at: datetime
    name: str = ""
    description: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    host: str | None = None
    order_id: str = ""
    fault: str = ""


# fmt: off
#         while an order runs     done                failed
ENDINGS: Final[Mapping[Status, tuple[Status, Status]]] = {
    Status.CREATING:             (Status.AVAILABLE,   Status.ERROR),
    Status.ATTACHING:            (Status.IN_USE,      Status.AVAILABLE),
    Status.DETACHING:            (Status.AVAILABLE,   Status.IN_USE),
    Status.DELETING:             (Status.DELETED,     Status.ERROR),
}
# fmt: on
ATTACHED: Final = frozenset({Status.RESERVED, Status.ATTACHING, Status.IN_USE, Status.DETACHING})
DELETABLE: Final = frozenset({Status.AVAILABLE, Status.ERROR})
COPYABLE: Final = frozenset({Status.AVAILABLE, Status.IN_USE})

MOST_GB: Final = 2**20
READY: Final = frozenset({Vm.ACTIVE, Vm.PAUSED, Vm.STOPPED, Vm.SOFT_DELETED})
"""What a server without a task must be to get a volume or give it back. Nova has resized ones too; ours may yet go back to another host."""

MOVES: Final = frozenset(
    {
        Event.RESIZE_ORDERED,
        Event.LIVE_MIGRATION_ORDERED,
        Event.EVACUATE_ORDERED,
        Event.SHELVE_ORDERED,
        Event.OFFLOAD_ORDERED,
    }
)
"""Orders that take, or may take, a server to another host: a volume cannot follow."""
