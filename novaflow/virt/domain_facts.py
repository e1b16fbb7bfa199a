"""What a domain is made of besides the guest's specification: whose it is, where its files are, how this host runs domains."""

from novaflow.models import Value
from novaflow.virt.wire.laid import LaidWire


class Owner(Value, frozen=True, kw_only=True):
    """Whose a domain is: this host of this cloud, whose files are below this directory."""

    host: str
    directory: str


class Machine(Value, frozen=True, kw_only=True):
    """How domains are run on this host."""

    virt_type: str  # kvm, qemu or test
    emulator: str  # path; empty lets libvirt choose
    host_cpu: str = "host-passthrough"  # the CPU's mode under kvm
    has_vnc: bool = False
    has_cgroups: bool = False  # without them there are no CPU shares and quotas
    has_wires: bool = False  # QEMU can make sockets in the guests' directories
    agent_directory: str = ""  # of the sockets to guest agents; empty lets libvirt choose


class VolumeDisk(Value, frozen=True, kw_only=True):
    """A volume that a guest has; `device` is what it wants to be (vdb)."""

    volume_id: str
    path: str
    device: str


class Paths(Value, frozen=True, kw_only=True):
    """A guest's files; an empty one is not there."""

    console: str
    disk: str = ""  # the qcow2 overlay
    own_disk: str = ""  # of a guest that is rescued: its own root disk, which comes second
    own_bus: str = "virtio"  # of that one
    ephemeral: str = ""
    swap: str = ""
    config_drive: str = ""
    wire: LaidWire | None = None  # to this host, of the first network card; None: QEMU's own network
    volumes: tuple[VolumeDisk, ...] = ()
