"""The contestants' payload (contestants/protocol.py) as typed values: what a request to a service is made of here."""

from msgspec import UNSET, Struct, UnsetType


class Context(Struct, frozen=True):
    """Who asks."""

    request_id: str
    is_admin: bool
    user_id: str
    project_id: str
    roles: list[str]


class Flavor(Struct, frozen=True):
    """How big a server is."""

    name: str
    vcpus: int
    memory_mb: int
    root_gb: int


class Instance(Struct, frozen=True):
    """One server to be built."""

    uuid: str
    name: str
    flavor: Flavor
    state: str
    host: str | None


class Image(Struct, frozen=True):
    """What it boots from."""

    id: str
    name: str
    min_disk: int


class Retry(Struct, frozen=True):
    """What was tried before."""

    num_attempts: int
    hosts: list[str]


class Limits(Struct, frozen=True):
    """What the host may be filled to."""

    memory_mb: float


class FilterProperties(Struct, frozen=True):
    """What the scheduler hands on."""

    retry: Retry
    limits: Limits


class Network(Struct, frozen=True):
    """A network that is asked for."""

    network_id: str


class Host(Struct, frozen=True):
    """A host that was chosen."""

    host: str
    weight: float


class Boot(Struct, frozen=True):
    """A payload. The smallest have a number and padding only."""

    number: int
    pad: str
    context: Context | UnsetType = UNSET
    instances: list[Instance] | UnsetType = UNSET
    image: Image | UnsetType = UNSET
    filter_properties: FilterProperties | UnsetType = UNSET
    security_groups: list[str] | UnsetType = UNSET
    requested_networks: list[Network] | UnsetType = UNSET
    host_lists: list[list[Host]] | UnsetType = UNSET
