"""Every message and procedure on the bus, in the order of a boot.

A docstring says who sends the message to whom and what it asks. Whatever concerns one server carries the task
that ordered it: the receiver's writes are fenced by it (novaflow.db.servers). Handlers may see a message
twice; the task makes the second one harmless.

A version belongs to a topic, as Nova's RPC API versions do, and its rule is oslo.messaging's: a server takes what has
its major version and no higher minor one. Where Nova has the method, name and version are those that Nova's client
sends (nova/compute/rpcapi.py and nova/scheduler/rpcapi.py from Wallaby, 23.0, to Gazpacho, 33.0): compute 6.x, scheduler 4.x.
Methods of ours in these topics have the first minor version of Nova's major. The conductor's methods are all ours, so its
version is 1.x: Nova's own (3.x, `object_action` and its kin) is refused there as what it is, another API. The arguments are
ours everywhere, since Nova's are versioned objects.
"""

from datetime import datetime
from typing import Final

from novaflow.hosts import HostResources, Verdict
from novaflow.models import Address, BuildPlan, Context, Fault, RequestSpec, Server, Value
from novaflow.states import Event, Power, Task, Vm
from novaflow.tasks import Assignment, TaskRecord
from novaflow.virt.driver import Diagnostics, Incoming
from novaflow.volumes import Volume, VolumeSnapshot
from rpc.procedure import Call, Cast

SCHEDULER: Final = "scheduler"
CONDUCTOR: Final = "conductor"
COMPUTE: Final = "compute"

MOST_DESTINATIONS: Final = 100  # that one question may ask for


class BuildInstance(Value, frozen=True, kw_only=True):
    """api, conductor -> scheduler -> compute: build this server. `tried` lists hosts that failed it."""

    context: Context
    server_id: str
    task_id: str
    spec: RequestSpec
    attempt: int = 1
    tried: tuple[str, ...] = ()
    last_failure: str = ""  # why the last of them failed it
    admin_password: str = ""

    def __repr__(self) -> str:
        return f"BuildInstance(server_id={self.server_id!r}, task_id={self.task_id!r}, attempt={self.attempt})"


class DestinationsAsk(Value, frozen=True, kw_only=True):
    """anyone -> scheduler: which hosts would take this many servers like this now? Nothing is claimed.

    At most MOST_DESTINATIONS. Of the fields of Nova's RequestSpec, these are what the decision needs; `ignore_hosts` shall not be chosen.
    """

    spec: RequestSpec
    num_instances: int = 1
    ignore_hosts: tuple[str, ...] = ()


class Destinations(Value, frozen=True, kw_only=True):
    """scheduler -> whoever asked: a host per server, in the order they were chosen."""

    hosts: tuple[str, ...]


class ServerOrder(Value, frozen=True, kw_only=True):
    """api, conductor -> compute: do to this server what the procedure's name says."""

    context: Context
    server_id: str
    task_id: str


class RebootOrder(ServerOrder, frozen=True, kw_only=True):
    """api, conductor -> compute: reboot this server by asking its guest (soft), or by power (hard)."""

    hard: bool = False


class PasswordOrder(ServerOrder, frozen=True, kw_only=True):
    """api -> compute: an order with a password for the guest. Passwords are not kept: what is ordered again has none."""

    admin_password: str = ""

    def __repr__(self) -> str:
        return f"PasswordOrder(server_id={self.server_id!r}, task_id={self.task_id!r})"


class MoveServer(Value, frozen=True, kw_only=True):
    """api, conductor -> scheduler: find this server another host, claim it, and order there what the task wants.

    The task is a resize, a migration, an evacuation or an unshelving; `tried` lists hosts that failed it.
    """

    context: Context
    server_id: str
    task_id: str
    spec: RequestSpec
    attempt: int = 1
    tried: tuple[str, ...] = ()
    last_failure: str = ""
    admin_password: str = ""

    def __repr__(self) -> str:
        return f"MoveServer(server_id={self.server_id!r}, task_id={self.task_id!r}, attempt={self.attempt})"


class DiskTransfer(ServerOrder, frozen=True, kw_only=True):
    """compute -> compute: the server's files wait at `url` of the source, for whoever shows `key`."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"DiskTransfer(server_id={self.server_id!r}, task_id={self.task_id!r})"


class TaskStep(Value, frozen=True, kw_only=True):
    """compute -> conductor: the worker of this task on `host` asks or reports something."""

    server_id: str
    task_id: str
    host: str


class Progress(TaskStep, frozen=True, kw_only=True):
    """compute -> conductor: `event` happened to the server; `power` is what the hypervisor says now.

    `then` is what happened right after it, in this order. With `takes_volumes` the guest has those that were booked for its server.
    """

    event: Event
    power: Power | None = None
    then: tuple[Event, ...] = ()
    takes_volumes: bool = False


class NewState(Value, frozen=True, kw_only=True):
    """conductor -> compute: the report was recorded, the server is now in this state."""

    vm: Vm
    task: Task


class Failure(TaskStep, frozen=True, kw_only=True):
    """compute -> conductor: the task failed on this host. A `build`, or a `move` that had to be placed, goes to another host if it `may_retry`."""

    context: Context
    fault: Fault
    power: Power | None = None
    may_retry: bool = False
    is_broken: bool = False  # the guest is of no use any more
    is_undone: bool = False  # of a move: the guest is again where and as it was before
    is_aborted: bool = False  # of a live migration: that is why
    build: BuildInstance | None = None
    move: MoveServer | None = None


class Allocated(Value, frozen=True, kw_only=True):
    """conductor -> compute: the addresses that are this server's until it is deleted."""

    addresses: tuple[Address, ...]


class Guest(Value, frozen=True, kw_only=True):
    """A server as one host's hypervisor has it."""

    server_id: str
    power: Power


class HostStarted(Value, frozen=True, kw_only=True):
    """compute -> conductor: this host serves from now on, and these guests are on its hypervisor."""

    host: str
    resources: HostResources
    availability_zone: str
    guests: tuple[Guest, ...] = ()


class HostedServer(Value, frozen=True, kw_only=True):
    """One server that the database places on a host."""

    id: str
    vm: Vm
    task: Task
    power: Power
    task_id: str | None = None


class HostAsk(Value, frozen=True, kw_only=True):
    """compute -> conductor: which servers does the database place on this host now?"""

    host: str


class HostServers(Value, frozen=True, kw_only=True):
    """conductor -> compute: every server that the database places on this host."""

    servers: tuple[HostedServer, ...]


class JudgeAsk(Value, frozen=True, kw_only=True):
    """compute -> conductor: this host has something of these servers; is it wanted?"""

    host: str
    server_ids: tuple[str, ...]


class Judged(Value, frozen=True, kw_only=True):
    """conductor -> compute: what each server is to the host: placed, moving, unwanted or unknown."""

    verdicts: dict[str, Verdict]


class Heartbeat(Value, frozen=True, kw_only=True):
    """compute -> conductor: this host lives, has this, and still works on these tasks."""

    host: str
    resources: HostResources
    running: tuple[str, ...] = ()


class PowerReport(Value, frozen=True, kw_only=True):
    """compute -> conductor: the hypervisor says that this guest's power state is now `power`."""

    host: str
    server_id: str
    power: Power
    seen_at: datetime


class GuestLost(Value, frozen=True, kw_only=True):
    """compute -> conductor: the database places this server here, it should have a guest, and there is none."""

    host: str
    server_id: str
    seen_at: datetime


class ConsoleAsk(Value, frozen=True, kw_only=True):
    """api -> compute: the last `lines` lines (None: all that is kept) of this server's console."""

    server_id: str
    lines: int | None = None


class ConsoleText(Value, frozen=True, kw_only=True):
    """compute -> api: what the guest wrote to its serial console."""

    output: str


class GuestAsk(Value, frozen=True, kw_only=True):
    """api -> compute: something about this server's guest, of which the host need not be told more."""

    server_id: str


class ConsoleAddress(Value, frozen=True, kw_only=True):
    """compute -> api: where the guest's screen is served (VNC)."""

    host: str
    port: int


class Picture(Value, frozen=True, kw_only=True):
    """compute -> api: the guest's screen, a PNG in base64."""

    png: str


class IncomingAsk(ServerOrder, frozen=True, kw_only=True):
    """compute (source) -> compute (destination): make ready for a guest that comes with its memory; its disks are so large (bytes)."""

    disk_bytes: dict[str, int]


class VolumeOrder(Value, frozen=True, kw_only=True):
    """api, conductor -> compute: do to this volume, or to this snapshot of one, what the procedure's name says.

    `server_id` is the server whose guest is concerned: the order waits its turn at it.
    """

    context: Context
    id: str
    order_id: str
    server_id: str = ""

    @classmethod
    def of(cls, context: Context, thing: Volume | VolumeSnapshot) -> "VolumeOrder":
        """The order that the volume or the snapshot has just got."""
        server_id = thing.server_id if isinstance(thing, Volume) else None
        return cls(context=context, id=thing.id, order_id=thing.order_id, server_id=server_id or "")


class VolumeStep(Value, frozen=True, kw_only=True):
    """compute -> conductor: the worker of this order on `host` asks what it is about."""

    id: str
    order_id: str
    host: str


class VolumeReport(VolumeStep, frozen=True, kw_only=True):
    """compute -> conductor: the order is done, the guest has the volume as `device`; or it failed for the reason in `fault`."""

    fault: str | None = None
    device: str = ""


class HostVolumesAsk(Value, frozen=True, kw_only=True):
    """compute -> conductor: this host has files of these volumes and snapshots; what should it have?"""

    host: str
    volume_ids: tuple[str, ...] = ()
    snapshot_ids: tuple[str, ...] = ()


class HostVolumes(Value, frozen=True, kw_only=True):
    """conductor -> compute: what should be on the host, and what became of the rest; `ready_servers` may be given what they should have."""

    volumes: tuple[Volume, ...]
    snapshots: tuple[VolumeSnapshot, ...]
    ready_servers: tuple[str, ...]


class Nothing(Value, frozen=True, kw_only=True):
    """The reply of a call that has nothing to say but that it is done."""


# fmt: off
BUILD_INSTANCES:        Final = Cast(topic=SCHEDULER, method="build_instances", version="4.0", request=BuildInstance)
MOVE_SERVER:            Final = Cast(topic=SCHEDULER, method="move_server", version="4.0", request=MoveServer)
SELECT_DESTINATIONS:    Final = Call(topic=SCHEDULER, method="select_destinations", version="4.5", request=DestinationsAsk, reply=Destinations)

BUILD_AND_RUN_INSTANCE: Final = Cast(topic=COMPUTE, method="build_and_run_instance", version="6.0", request=BuildInstance)
TERMINATE_INSTANCE:     Final = Cast(topic=COMPUTE, method="terminate_instance", version="6.0", request=ServerOrder)
START_INSTANCE:         Final = Cast(topic=COMPUTE, method="start_instance", version="6.0", request=ServerOrder)
STOP_INSTANCE:          Final = Cast(topic=COMPUTE, method="stop_instance", version="6.0", request=ServerOrder)
REBOOT_INSTANCE:        Final = Cast(topic=COMPUTE, method="reboot_instance", version="6.0", request=RebootOrder)
PAUSE_INSTANCE:         Final = Cast(topic=COMPUTE, method="pause_instance", version="6.0", request=ServerOrder)
UNPAUSE_INSTANCE:       Final = Cast(topic=COMPUTE, method="unpause_instance", version="6.0", request=ServerOrder)
SUSPEND_INSTANCE:       Final = Cast(topic=COMPUTE, method="suspend_instance", version="6.0", request=ServerOrder)
RESUME_INSTANCE:        Final = Cast(topic=COMPUTE, method="resume_instance", version="6.0", request=ServerOrder)
SOFT_DELETE_INSTANCE:   Final = Cast(topic=COMPUTE, method="soft_delete_instance", version="6.0", request=ServerOrder)
RESTORE_INSTANCE:       Final = Cast(topic=COMPUTE, method="restore_instance", version="6.0", request=ServerOrder)
RESCUE_INSTANCE:        Final = Cast(topic=COMPUTE, method="rescue_instance", version="6.0", request=PasswordOrder)
UNRESCUE_INSTANCE:      Final = Cast(topic=COMPUTE, method="unrescue_instance", version="6.0", request=ServerOrder)
SET_ADMIN_PASSWORD:     Final = Cast(topic=COMPUTE, method="set_admin_password", version="6.0", request=PasswordOrder)
REBUILD_INSTANCE:       Final = Cast(topic=COMPUTE, method="rebuild_instance", version="6.0", request=PasswordOrder)
SNAPSHOT_INSTANCE:      Final = Cast(topic=COMPUTE, method="snapshot_instance", version="6.0", request=ServerOrder)
BACKUP_INSTANCE:        Final = Cast(topic=COMPUTE, method="backup_instance", version="6.0", request=ServerOrder)
SHELVE_INSTANCE:        Final = Cast(topic=COMPUTE, method="shelve_instance", version="6.0", request=ServerOrder)
SHELVE_OFFLOAD_INSTANCE: Final = Cast(topic=COMPUTE, method="shelve_offload_instance", version="6.0", request=ServerOrder)
UNSHELVE_INSTANCE:      Final = Cast(topic=COMPUTE, method="unshelve_instance", version="6.0", request=MoveServer)
PREP_RESIZE:            Final = Cast(topic=COMPUTE, method="prep_resize", version="6.0", request=MoveServer)
RESIZE_INSTANCE:        Final = Cast(topic=COMPUTE, method="resize_instance", version="6.0", request=MoveServer)
FINISH_RESIZE:          Final = Cast(topic=COMPUTE, method="finish_resize", version="6.0", request=DiskTransfer)
ROLL_BACK_RESIZE:       Final = Cast(topic=COMPUTE, method="roll_back_resize", version="6.0", request=ServerOrder)
CONFIRM_RESIZE:         Final = Cast(topic=COMPUTE, method="confirm_resize", version="6.0", request=ServerOrder)
REVERT_RESIZE:          Final = Cast(topic=COMPUTE, method="revert_resize", version="6.0", request=ServerOrder)
FINISH_REVERT_RESIZE:   Final = Cast(topic=COMPUTE, method="finish_revert_resize", version="6.0", request=ServerOrder)
LIVE_MIGRATION:         Final = Cast(topic=COMPUTE, method="live_migration", version="6.0", request=MoveServer)
PRE_LIVE_MIGRATION:     Final = Call(topic=COMPUTE, method="pre_live_migration", version="6.0", request=IncomingAsk, reply=Incoming)
POST_LIVE_MIGRATION:    Final = Call(topic=COMPUTE, method="post_live_migration_at_destination", version="6.0", request=ServerOrder, reply=Nothing)
ROLL_BACK_LIVE_MIGRATION: Final = Cast(topic=COMPUTE, method="rollback_live_migration_at_destination", version="6.0", request=ServerOrder)
LIVE_MIGRATION_ABORT:   Final = Cast(topic=COMPUTE, method="live_migration_abort", version="6.0", request=ServerOrder)
LIVE_MIGRATION_FORCE_COMPLETE: Final = Cast(topic=COMPUTE, method="live_migration_force_complete", version="6.0", request=ServerOrder)
REMOVE_LEFTOVERS:       Final = Cast(topic=COMPUTE, method="remove_leftovers", version="6.0", request=GuestAsk)
TRIGGER_CRASH_DUMP:     Final = Call(topic=COMPUTE, method="trigger_crash_dump", version="6.0", request=GuestAsk, reply=Nothing)
GET_VNC_CONSOLE:        Final = Call(topic=COMPUTE, method="get_vnc_console", version="6.0", request=GuestAsk, reply=ConsoleAddress)
GET_SCREENSHOT:         Final = Call(topic=COMPUTE, method="get_screenshot", version="6.0", request=GuestAsk, reply=Picture)
GET_DIAGNOSTICS:        Final = Call(topic=COMPUTE, method="get_instance_diagnostics", version="6.0", request=GuestAsk, reply=Diagnostics)
GET_CONSOLE_OUTPUT:     Final = Call(topic=COMPUTE, method="get_console_output", version="6.0", request=ConsoleAsk, reply=ConsoleText)

CREATE_VOLUME:          Final = Cast(topic=COMPUTE, method="create_volume", version="6.0", request=VolumeOrder)
DELETE_VOLUME:          Final = Cast(topic=COMPUTE, method="delete_volume", version="6.0", request=VolumeOrder)
ATTACH_VOLUME:          Final = Cast(topic=COMPUTE, method="attach_volume", version="6.0", request=VolumeOrder)
DETACH_VOLUME:          Final = Cast(topic=COMPUTE, method="detach_volume", version="6.0", request=VolumeOrder)
CREATE_VOLUME_SNAPSHOT: Final = Cast(topic=COMPUTE, method="volume_snapshot_create", version="6.0", request=VolumeOrder)
DELETE_VOLUME_SNAPSHOT: Final = Cast(topic=COMPUTE, method="volume_snapshot_delete", version="6.0", request=VolumeOrder)

START_BUILD:            Final = Call(topic=CONDUCTOR, method="start_build", request=TaskStep, reply=BuildPlan)
ALLOCATE_NETWORK:       Final = Call(topic=CONDUCTOR, method="allocate_network", request=TaskStep, reply=Allocated)
GET_ASSIGNMENT:         Final = Call(topic=CONDUCTOR, method="get_assignment", request=TaskStep, reply=Assignment)
GET_TASK:               Final = Call(topic=CONDUCTOR, method="get_task", request=TaskStep, reply=TaskRecord)
GET_SERVER:             Final = Call(topic=CONDUCTOR, method="get_server", request=TaskStep, reply=Server)
REPORT_PROGRESS:        Final = Call(topic=CONDUCTOR, method="report_progress", request=Progress, reply=NewState)
REPORT_FAILURE:         Final = Call(topic=CONDUCTOR, method="report_failure", request=Failure, reply=NewState)
HOST_STARTED:           Final = Call(topic=CONDUCTOR, method="host_started", request=HostStarted, reply=HostServers)
LIST_HOST_SERVERS:      Final = Call(topic=CONDUCTOR, method="list_host_servers", request=HostAsk, reply=HostServers)
JUDGE_GUESTS:           Final = Call(topic=CONDUCTOR, method="judge_guests", request=JudgeAsk, reply=Judged)
GET_VOLUME:             Final = Call(topic=CONDUCTOR, method="get_volume", request=VolumeStep, reply=Volume)
GET_VOLUME_SNAPSHOT:    Final = Call(topic=CONDUCTOR, method="get_volume_snapshot", request=VolumeStep, reply=VolumeSnapshot)
REPORT_VOLUME:          Final = Call(topic=CONDUCTOR, method="report_volume", request=VolumeReport, reply=Nothing)
REPORT_VOLUME_SNAPSHOT: Final = Call(topic=CONDUCTOR, method="report_volume_snapshot", request=VolumeReport, reply=Nothing)
LIST_HOST_VOLUMES:      Final = Call(topic=CONDUCTOR, method="list_host_volumes", request=HostVolumesAsk, reply=HostVolumes)
HEARTBEAT:              Final = Call(topic=CONDUCTOR, method="heartbeat", request=Heartbeat, reply=Nothing)
REPORT_LOST_GUEST:      Final = Cast(topic=CONDUCTOR, method="report_lost_guest", request=GuestLost)
REPORT_POWER:           Final = Cast(topic=CONDUCTOR, method="report_power", request=PowerReport)
# fmt: on
