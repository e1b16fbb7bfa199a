"""How guests come to this host while they run."""

from urllib.parse import urlsplit

from novaflow.models import Value
from novaflow.virt.image_facts import Refused


class Route(Value, frozen=True, kw_only=True):
    """What the operator says of it (compute.my_ip, live_migration_uri, live_migration_timeout)."""

    address: str = "127.0.0.1"  # memory and disks are sent there
    uri: str = ""  # how the libvirt of another host reaches this one's; empty: as this host itself does
    timeout: float = 800.0  # seconds a guest that leaves may take

    def reached(self, own_uri: str) -> str:
        """The URI for others, where this host itself uses `own_uri`. Raises Refused when that means another libvirt to them, or none."""
        if own_uri.startswith("qemu:///embed"):
            raise Refused(
                "the libvirt inside a process (qemu:///embed) can be reached by no other, so that no guest can come while it runs:"
                " use a libvirt daemon (compute.virt = qemu:///system, or novaflow up --virt private)"
            )
        if not own_uri.startswith("qemu"):
            raise Refused(f"guests of {own_uri} cannot move while they run")
        if self.uri:
            return self.uri
        if "socket=" not in urlsplit(own_uri).query:
            raise Refused(
                f"{own_uri} means another libvirt to other hosts: compute.live_migration_uri has to say how they reach it"
            )
        return own_uri
