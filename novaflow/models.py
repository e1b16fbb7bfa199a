"""The nouns of the cloud as frozen values: what is read from the database, carried by messages and decided upon.

All are msgspec structs, so the bus and the JSON columns use one definition. Sizes carry their unit in the
name; times are timezone-aware UTC.
"""

import math
from datetime import datetime
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
    created_at: datetime | None = None
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


class Ec2Names(Value, frozen=True, kw_only=True):
    """What EC2 calls a server and what it was made of: the ids of its API. Empty for what there is not."""

    instance: str = ""
    image: str = ""
    kernel: str = ""
    ramdisk: str = ""


class BuildVolume(Value, frozen=True, kw_only=True):
    """A volume that a server shall have from its first boot, as `device`. On `host`, or None: made where the server is built."""

    id: str
    size_gb: int
    device: str
    snapshot_id: str = ""
    host: str | None = None


class BuildPlan(Value, frozen=True, kw_only=True):
    """All that a compute host needs to build one server."""

    server: Server
    image: ImageFacts | None = None
    user_data: str = ""  # base64
    files: tuple[InjectedFile, ...] = ()
    public_key: str = ""
    ec2: Ec2Names = Ec2Names()
    volumes: tuple[BuildVolume, ...] = ()

    def __repr__(self) -> str:
        return f"BuildPlan(server_id={self.server.id!r})"


Hints = dict[str, str | tuple[str, ...]]
"""What a user wishes of the scheduler; Nova's names. What is neither text nor texts is kept as JSON."""


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
