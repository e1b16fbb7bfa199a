"""The nouns of the cloud as frozen values: what is read from the database, carried by messages and decided upon.

All are msgspec structs, so the bus and the JSON columns use one definition. Sizes carry their unit in the
name; times are timezone-aware UTC.
"""

import math
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from novaflow.states import Power, State, Task, Vm, state_of

ADMIN_ROLE: Final = "admin"
# The hint by which a server that shall have no network says so, from the API to its host.
NETWORKS_HINT: Final = "novaflow:networks"
NO_NETWORK: Final = "none"


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with named fields."""


class Context(Value, frozen=True, kw_only=True):
    """Who asks, on behalf of which project, in which request.

    `token` is the user's token, for the calls a worker makes to the image service in the user's name; it never shows in a repr.
    """

    request_id: str
    user_id: str
    project_id: str
    user_name: str = ""
    project_name: str = ""
    roles: tuple[str, ...] = ()
    token: str = msgspec.field(name="auth_token", default="")  # as Nova names it on the bus
    audit_id: str = ""

    @property
    def is_admin(self) -> bool:
        """May use the Admin API and see every project."""
        return ADMIN_ROLE in self.roles

    def __repr__(self) -> str:
        return f"Context(request_id={self.request_id!r}, user_id={self.user_id!r}, project_id={self.project_id!r})"


class Flavor(Value, frozen=True, kw_only=True):
    """How big a server is. `id` is the flavor id of the API (`1` for m1.tiny)."""

    id: str
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    ephemeral_gb: int = 0
    swap_mb: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    is_disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = {}

    @property
    def claimed_disk_gb(self) -> int:
        """What a server of this flavor takes of a host's disk: root, ephemeral and swap, in whole GB."""
        return self.disk_gb + self.ephemeral_gb + math.ceil(self.swap_mb / 1024)


class ImageFacts(Value, frozen=True, kw_only=True):
    """What the compute side needs to know of an image; from the image service's metadata."""

    id: str
    name: str = ""
    disk_format: str = "raw"
    container_format: str = "bare"
    size_bytes: int = 0
    min_disk_gb: int = 0
    min_ram_mb: int = 0
    md5: str = ""
    sha512: str = ""
    kernel_id: str = ""
    ramdisk_id: str = ""
    status: str = "active"
    visibility: str = "private"
    owner: str = ""
    properties: dict[str, str] = {}


class NewImage(Value, frozen=True, kw_only=True):
    """An image before it exists; it gets its data later."""

    name: str
    disk_format: str
    container_format: str
    visibility: str = "private"
    min_disk_gb: int = 0
    min_ram_mb: int = 0
    properties: dict[str, str] = {}


class KeyPair(Value, frozen=True, kw_only=True):
    """A user's SSH public key; `fingerprint` is MD5 in colon-separated hex, as Nova shows it."""

    name: str
    user_id: str
    public_key: str
    fingerprint: str
    type: str = "ssh"
    created_at: datetime | None = None
    private_fingerprint: str = ""  # SHA1 of the private half, where it was made here: what EC2 shows of such a key
    id: int = 0  # a number that the database gives; clients only show it


class Address(Value, frozen=True, kw_only=True):
    """One fixed address of a server."""

    network: str
    ip: str
    mac: str
    version: int = 4


class SecurityRule(Value, frozen=True, kw_only=True):
    """What may reach the servers of a group: from the addresses of `cidr`, or from the servers of the group `source_id`.

    Ports are from 1 to 65535; of icmp they are type and code, where -1 is any.
    """

    id: int
    group_id: int
    protocol: str  # tcp, udp or icmp
    from_port: int
    to_port: int
    cidr: str | None = None
    source_id: int | None = None
    source_name: str = ""
    source_project_id: str = ""


class SecurityGroup(Value, frozen=True, kw_only=True):
    """A project's rules of what may reach some of its servers, under a name that is the project's own."""

    id: int
    project_id: str
    user_id: str
    name: str
    description: str
    rules: tuple[SecurityRule, ...] = ()


class FloatingAddress(Value, frozen=True, kw_only=True):
    """An address that a project keeps, and gives to one of its servers at a time: then it stands for `fixed_ip`."""

    id: int
    ip: str
    project_id: str
    server_id: str | None = None
    fixed_ip: str | None = None


class InjectedFile(Value, frozen=True, kw_only=True):
    """A file put into the server at boot; `contents` is base64, as the API took it."""

    path: str
    contents: str


class Fault(Value, frozen=True, kw_only=True):
    """Why the last task of a server did not succeed. `code` is an HTTP status, as in Nova's fault."""

    code: int
    message: str
    details: str = ""
    created_at: datetime | None = None


class ClientToken(Value, frozen=True, kw_only=True):
    """What a client names a request by, so that sending it twice does once; `digest` is of all that it asked."""

    token: str
    digest: str


class ServerName(Value, frozen=True, kw_only=True):
    """What a plain list tells of a server."""

    id: str
    name: str


class Server(Value, frozen=True, kw_only=True):
    """One server as the database has it. `task_id` names the task that owns it now, if any."""

    id: str
    name: str
    hostname: str
    project_id: str
    user_id: str
    flavor: Flavor
    image_id: str
    vm: Vm
    task: Task
    power: Power
    created_at: datetime
    updated_at: datetime
    task_id: str | None = None
    host: str | None = None
    description: str | None = None
    kernel_id: str = ""
    ramdisk_id: str = ""
    key_name: str | None = None
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    availability_zone: str = ""
    has_config_drive: bool = False
    reservation_id: str = ""
    launch_index: int = 0
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: str = "MANUAL"
    is_locked: bool = False
    progress: int = 0
    launched_at: datetime | None = None
    deleted_at: datetime | None = None
    fault: Fault | None = None

    @property
    def state(self) -> State:
        """Where in the table of novaflow.states this server is."""
        return state_of(self.vm, self.task)

    @property
    def status(self) -> str:
        """The status the API shows."""
        return self.state.status


class BuildPlan(Value, frozen=True, kw_only=True):
    """All that a compute host needs to build one server."""

    server: Server
    image: ImageFacts | None = None
    user_data: str = ""  # base64
    files: tuple[InjectedFile, ...] = ()
    public_key: str = ""

    def __repr__(self) -> str:
        return f"BuildPlan(server_id={self.server.id!r})"


Hints = dict[str, str | tuple[str, ...]]
"""What a user wishes of the scheduler; Nova's names. What is neither text nor texts is kept as JSON."""


class Verdict(StrEnum):
    """What a server is to a host that has something of it."""

    PLACED = "placed"  # it lives there
    MOVING = "moving"  # it is on its way there or from there
    UNWANTED = "unwanted"  # it was deleted, or lives elsewhere
    UNKNOWN = "unknown"  # this database has never heard of it


class RequestSpec(Value, frozen=True, kw_only=True):
    """What the scheduler decides upon; travels with the build so that it need not be read again."""

    project_id: str
    user_id: str
    flavor: Flavor
    image: ImageFacts | None = None
    availability_zone: str = ""  # empty: any
    force_host: str = ""
    ignore_hosts: tuple[str, ...] = ()
    hints: Hints = {}

    def hint(self, name: str) -> str:
        """A hint that is one text; empty when there is none."""
        given = self.hints.get(name, "")
        return given if isinstance(given, str) else ""

    def hint_list(self, name: str) -> tuple[str, ...]:
        """A hint that may be one text or several."""
        given = self.hints.get(name, ())
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def wants_network(self) -> bool:
        """Whether the server gets an address: it does unless its owner asked for none."""
        return self.hints.get(NETWORKS_HINT) != NO_NETWORK


class Aggregate(Value, frozen=True, kw_only=True):
    """A set of hosts with metadata, made by administrators. One with a zone puts its hosts into that availability zone."""

    id: int
    uuid: str
    name: str
    availability_zone: str | None = None
    metadata: dict[str, str] = {}
    hosts: tuple[str, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ServerGroup(Value, frozen=True, kw_only=True):
    """Servers that shall live on one host, or on different ones. `policy` is affinity, anti-affinity, soft-affinity or soft-anti-affinity."""

    id: str
    name: str
    policy: str
    project_id: str
    user_id: str
    members: tuple[str, ...] = ()  # server ids
    max_server_per_host: int = 1  # of anti-affinity
    created_at: datetime | None = None


class HostResources(Value, frozen=True, kw_only=True):
    """What a compute host has, as its driver reports it."""

    vcpus: int
    ram_mb: int
    disk_gb: int
    hypervisor_type: str = "QEMU"
    hypervisor_version: int = 0
    hypervisor_hostname: str = ""
    cpu_info: dict[str, object] = {}
    host_ip: str = "127.0.0.1"


class Host(Value, frozen=True, kw_only=True):
    """One compute host as the scheduler sees it. `id` is stable over the host's life (a UUID)."""

    id: str
    name: str
    resources: HostResources
    vcpus_used: int = 0
    ram_mb_used: int = 0
    disk_gb_used: int = 0
    servers: int = 0
    is_up: bool = True
    is_enabled: bool = True
    availability_zone: str = "nova"
    aggregates: tuple[Aggregate, ...] = ()  # those it is in, without their hosts
    io_ops: int = 0  # servers on it that are being built, resized, copied or rebuilt
    flavor_ids: tuple[str, ...] = ()  # of its servers; like `io_ops` read only where a filter asks

    @property
    def zone(self) -> str:
        """The availability zone it counts for: an aggregate's, if one that it is in has one."""
        return next((one.availability_zone for one in self.aggregates if one.availability_zone), self.availability_zone)


class ServiceRecord(Value, frozen=True, kw_only=True):
    """One process of the cloud, as `openstack compute service list` shows it."""

    id: int
    uuid: str
    binary: str  # nova-scheduler, nova-conductor, nova-compute
    host: str
    zone: str
    is_enabled: bool
    is_up: bool
    updated_at: datetime
    disabled_reason: str | None = None
    is_forced_down: bool = False


class TaskParams(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What an action was asked with, kept with its task so that it can be ordered again. Passwords are not in it: they are not kept."""

    hard: bool = False  # of a reboot
    image_id: str = ""  # the rescue system, or the image that a snapshot fills
    image_name: str = ""
    rotation: int = 0  # backups of this type to keep
    backup_type: str = ""
    migration_id: int = 0  # the row of a resize or of any other move
    target_host: str = ""  # where an administrator wants it; empty: the scheduler chooses
    keeps_off: bool = False  # it was stopped before: it shall be so afterwards
    keeps_fault: bool = False
    availability_zone: str = ""  # of an unshelve that names one


class Migration(Value, frozen=True, kw_only=True):
    """One move of a server to another host or flavor: Nova's migration record, with its statuses.

    While it is under way two hosts hold room for the server: its own, and `claim_host`, which keeps `claim_flavor`'s.
    """

    id: int
    uuid: str
    server_id: str
    task_id: str
    type: str  # resize, migration, live-migration, evacuation
    status: str  # accepted, pre-migrating, migrating, post-migrating, finished, confirming, confirmed, reverting, reverted, completed, error, done
    source_host: str
    old_flavor: Flavor
    new_flavor: Flavor
    old_vm: Vm
    project_id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    dest_host: str | None = None
    claim_host: str | None = None

    @property
    def is_to_same_host(self) -> bool:
        """A resize in place."""
        return self.dest_host == self.source_host


class TaskRecord(Value, frozen=True, kw_only=True):
    """One accepted API action on one server: Nova's instance action. `state` is running, done, error or superseded."""

    id: str
    server_id: str
    action: str  # create, delete, start, stop, reboot ... as Nova's instance_actions.py names them
    request_id: str
    user_id: str
    project_id: str
    state: str
    created_at: datetime
    updated_at: datetime
    message: str | None = None
    host: str | None = None
    attempts: int = 1
    finished_at: datetime | None = None
    params: TaskParams = TaskParams()


class Assignment(Value, frozen=True, kw_only=True):
    """All that a compute host needs to carry out a task: the server as it is, how it was made, what was asked, and where it moves."""

    plan: BuildPlan
    action: str
    params: TaskParams = TaskParams()
    migration: Migration | None = None

    def __repr__(self) -> str:
        return f"Assignment(server_id={self.plan.server.id!r}, action={self.action!r})"


class TaskEvent(Value, frozen=True, kw_only=True):
    """One step of a task on one host: Nova's instance action event."""

    name: str
    host: str | None
    result: str | None  # Success, Error or None while it runs
    started_at: datetime
    finished_at: datetime | None = None
    details: str | None = None


class QuotaLimits(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one project (or the defaults); -1 is unlimited. Names are Nova's."""

    instances: int = 10
    cores: int = 20
    ram: int = 51200  # MB
    key_pairs: int = 100
    metadata_items: int = 128
    injected_files: int = 5
    injected_file_content_bytes: int = 10240
    injected_file_path_bytes: int = 255
    server_groups: int = 10
    server_group_members: int = 10
    fixed_ips: int = -1
    floating_ips: int = 10
    security_groups: int = 10
    security_group_rules: int = 20
    volumes: int = 10
    gigabytes: int = 1000  # of volumes and their snapshots
    snapshots: int = 10


class Usage(Value, frozen=True, kw_only=True):
    """What a project has in use now."""

    instances: int = 0
    cores: int = 0
    ram: int = 0
    key_pairs: int = 0
    server_groups: int = 0
    floating_ips: int = 0
    security_groups: int = 0
    security_group_rules: int = 0  # of one group
    volumes: int = 0
    gigabytes: int = 0
    snapshots: int = 0
