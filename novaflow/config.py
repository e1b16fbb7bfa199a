"""Every setting of the cloud, typed, with defaults that work on a laptop.

`etc/novaflow.toml` shows the same keys with a line why; a test keeps the two alike. An unknown or mistyped key stops the
service with an error that names its path.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from novaflow.quotas import QuotaLimits


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Identity(Section, frozen=True, kw_only=True):
    """The identity service: where it listens and what the first start creates."""

    host: str = "127.0.0.1"
    port: int = 5000
    admin_port: int = 35357
    region: str = "RegionOne"
    admin_user: str = "admin"
    admin_password: str = ""  # empty: a random one, kept in the state directory
    admin_project: str = "admin"
    service_project: str = "service"
    token_seconds: int = 3600
    url: str = ""  # where the other services find it; empty: http://host:port


class Image(Section, frozen=True, kw_only=True):
    """The image service."""

    host: str = "127.0.0.1"
    port: int = 9292
    max_bytes: int = 64 * 2**30  # of one upload
    url: str = ""


class Api(Section, frozen=True, kw_only=True):
    """nova-api."""

    host: str = "127.0.0.1"
    port: int = 8774
    max_body_bytes: int = 114688  # Nova's osapi_max_request_body_size
    max_limit: int = 1000  # servers in one page
    token_cache_seconds: float = 10.0
    default_availability_zone: str = "nova"
    url: str = ""
    ec2_host: str = "127.0.0.1"
    ec2_port: int = 8773
    ec2_url: str = ""
    metadata_host: str = "127.0.0.1"
    metadata_port: int = 8775
    metadata_url: str = ""  # where compute hosts find it
    metadata_requires_token: bool = False  # EC2 metadata for those alone who show a token (IMDSv2)
    metadata_hop_limit: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  # that the answer with such a token lives for


class Procedure(Section, frozen=True, kw_only=True, omit_defaults=True):
    """What differs for one procedure on the bus; a key left out is as the procedure or the bus has it."""

    delivery: Literal["durable", "icehouse"] | None = None
    retries: Annotated[int, msgspec.Meta(ge=0)] | None = None
    retry_delay: Annotated[float, msgspec.Meta(ge=0, le=86400)] | None = None  # seconds
    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None  # handlers at a time in one process


class Bus(Section, frozen=True, kw_only=True):
    """How the services reach each other."""

    url: str = "memory://"
    credentials_file: str = ""  # JSON, mode 0600: user and password, instead of in the URL
    tls_ca_file: str = ""  # PEM; empty: the authorities that the machine trusts
    tls_cert_file: str = ""  # PEM; what we show a broker that asks for it
    tls_key_file: str = ""  # PEM; empty: in tls_cert_file
    tls_verify: bool = True  # false believes any broker
    delivery: str = "durable"  # durable or icehouse
    queues: str = ""  # durable, quorum or transient; empty: what the delivery needs
    prefetch: int = 64  # messages one process works on at a time
    publish_timeout: float = 30.0  # seconds a message may wait for the broker
    retries: int = 3  # of a handler that fails unexpectedly, before the dead-letter queue
    retry_delay: float = 1.0  # seconds before the first retry; doubles
    drain_timeout: float = 20.0  # seconds a shutdown waits for handlers
    procedures: dict[str, Procedure] = {}  # by name: compute.stop_instance


class Database(Section, frozen=True, kw_only=True):
    """Where the records are."""

    url: str = ""  # empty: sqlite+aiosqlite in the state directory
    pool_size: int = 8
    retries: int = 8  # of a transaction that met a deadlock or a lost connection
    statement_timeout: float = 30.0  # seconds


class Scheduler(Section, frozen=True, kw_only=True):
    """How hosts are chosen."""

    max_attempts: int = 3  # hosts tried for one server
    cpu_allocation_ratio: float = 16.0
    ram_allocation_ratio: float = 1.5
    disk_allocation_ratio: float = 1.0
    filters: tuple[str, ...] = (
        "retry",
        "availability_zone",
        "compute",
        "ram",
        "core",
        "disk",
        "compute_capabilities",
        "image_properties",
        "server_group_anti_affinity",
        "server_group_affinity",
    )
    ram_weight: float = 1.0
    cpu_weight: float = 0.0
    disk_weight: float = 0.0
    io_ops_weight: float = 0.0
    soft_affinity_weight: float = 1.0
    soft_anti_affinity_weight: float = 1.0
    host_subset_size: Annotated[int, msgspec.Meta(ge=1)] = 1  # of the best hosts, from which one is drawn
    max_instances_per_host: int = 50
    max_io_ops_per_host: int = 8
    isolated_hosts: tuple[str, ...] = ()
    isolated_images: tuple[str, ...] = ()
    restrict_isolated_hosts_to_isolated_images: bool = True
    aggregate_image_properties_isolation_namespace: str = ""
    aggregate_image_properties_isolation_separator: str = "."


class Conductor(Section, frozen=True, kw_only=True):
    """The recovery of tasks that stopped moving."""

    task_lease: float = 60.0  # seconds without a sign of life before a task is ordered again; doubles
    task_attempts: int = 5  # orders of one task before it ends with a fault
    recovery_interval: float = 10.0  # seconds between two looks
    timer_interval: float = 60.0  # seconds between two looks for what is due
    audit_interval: float = (
        600.0  # seconds between two countings of quota and room, and two looks for images that nobody wants
    )


class Network(Section, frozen=True, kw_only=True):
    """The flat network servers get their addresses from."""

    name: str = "private"
    cidr: str = "10.0.0.0/16"
    floating_pool: str = "nova"
    floating_cidr: str = "203.0.113.0/24"  # of RFC 5737: kept and shown, not routed


class Compute(Section, frozen=True, kw_only=True):
    """The compute hosts."""

    virt: str = "auto"  # auto, fake, or a libvirt URI, in which {host} is the host's name
    virt_type: str = "auto"  # auto, kvm or qemu
    vnc: bool = True  # a screen for every real guest, served on this machine only
    hosts: int = 1  # compute hosts in one process, for experiments
    host: str = ""  # this host's name; empty: the machine's
    my_ip: str = "127.0.0.1"  # where other hosts reach this one
    live_migration_uri: str = (
        ""  # how the libvirt of other hosts reaches this one's; empty: by the socket that virt names
    )
    live_migration_timeout: float = 800.0  # seconds a running guest may take to move before it stays
    transfer_host: str = "127.0.0.1"  # where the disks of guests that are resized or migrated are fetched from
    transfer_port: int = 0  # 0: a free one
    transfer_timeout: float = 3600.0  # seconds the disks of one guest may take
    availability_zone: str = "nova"
    heartbeat_interval: float = 10.0
    service_down_time: float = 60.0  # seconds without a heartbeat before a service counts as down
    spawns_at_once: int = 4
    snapshots_at_once: int = 2
    shelved_offload_time: float = 0.0  # seconds a shelved server stays on its host; 0: it leaves at once, -1: never
    stop_timeout: float = 60.0  # seconds a guest may take to power itself off
    detach_timeout: float = 30.0  # seconds a guest that runs may take to let go of a volume
    sync_power_state_interval: float = 600.0  # seconds between two comparisons of guests and records
    resume_guests_state_on_host_boot: bool = True  # start what ran before the machine went down
    instance_build_timeout: float = (
        0.0  # seconds a build may take before it ends in error; 0: as long as recovery lets it
    )
    rescue_timeout: float = 0.0  # seconds before a rescued server gets its own system again; 0: never
    resize_confirm_window: float = 0.0  # seconds before a resize is confirmed by itself; 0: never
    allow_resize_to_same_host: bool = True  # Nova's default is false, which a cloud of one host has no use for
    reclaim_instance_interval: float = 0.0  # seconds a deleted server is kept; 0: it is gone at once
    console_bytes: int = 102400  # kept of a guest's console for the API
    image_cache_bytes: int = 64 * 2**30  # of cached images before those that no guest uses go
    image_cache_interval: float = 2400.0  # seconds between two looks at them; Nova's image_cache_manager_interval
    fake_vcpus: int = 1000
    fake_ram_mb: int = 8_000_000
    fake_disk_gb: int = 1_000_000
    fake_delay: float = 0.0  # seconds that each slow operation of a fake host takes


class Notifications(Section, frozen=True, kw_only=True):
    """Whether what happens to servers is told on the bus, for others to listen to."""

    enabled: bool = False  # nobody listening, they wait in their queues
    topic: str = "notifications"


class Trace(Section, frozen=True, kw_only=True):
    """Where the spans go."""

    enabled: bool = True
    max_bytes: int = 64 * 2**20  # of one process's file before it is rotated
    otlp_endpoint: str = ""  # an OTLP/HTTP collector; empty: none


class Metrics(Section, frozen=True, kw_only=True):
    """Where each process answers Prometheus at /metrics and tells its health at /healthz."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    state_dir: str = ".state"
    log_level: str = "WARNING"
    drain_timeout: float = 30.0  # seconds a stopping service may take
    identity: Identity = Identity()
    image: Image = Image()
    api: Api = Api()
    bus: Bus = Bus()
    database: Database = Database()
    scheduler: Scheduler = Scheduler()
    conductor: Conductor = Conductor()
    network: Network = Network()
    compute: Compute = Compute()
    quota: QuotaLimits = QuotaLimits()
    notifications: Notifications = Notifications()
    trace: Trace = Trace()
    metrics: Metrics = Metrics()

    @property
    def identity_url(self) -> str:
        """Where the identity service is found, without a version."""
        return self.identity.url or f"http://{self.identity.host}:{self.identity.port}"

    @property
    def image_url(self) -> str:
        """Where the image service is found, without a version."""
        return self.image.url or f"http://{self.image.host}:{self.image.port}"

    @property
    def api_url(self) -> str:
        """Where nova-api is found, without a version."""
        return self.api.url or f"http://{self.api.host}:{self.api.port}"

    @property
    def ec2_url(self) -> str:
        """Where the EC2 API is found, with Icehouse's path."""
        return self.api.ec2_url or f"http://{self.api.ec2_host}:{self.api.ec2_port}/services/Cloud"

    @property
    def metadata_url(self) -> str:
        """Where the metadata service is found by compute hosts."""
        return self.api.metadata_url or f"http://{self.api.metadata_host}:{self.api.metadata_port}"

    @property
    def database_url(self) -> str:
        """A SQLAlchemy URL."""
        return self.database.url or f"sqlite+aiosqlite:///{Path(self.state_dir).absolute() / 'novaflow.sqlite'}"


def load(path: Path) -> Config:
    """Read `path`; raises msgspec.ValidationError naming the offending key, OSError when it cannot be read."""
    return msgspec.toml.decode(path.read_bytes(), type=Config)
