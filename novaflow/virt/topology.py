"""How a guest's vCPUs are laid out: sockets, cores, threads."""

from novaflow.models import Value
from novaflow.virt.image_facts import Refused


class Topology(Value, frozen=True, kw_only=True):
    """Their product is the number of vCPUs. As a wish or a limit, 0 leaves one open."""

    sockets: int = 0
    cores: int = 0
    threads: int = 0

    @property
    def is_open(self) -> bool:
        """Says nothing at all."""
        return self == Topology()


def choose_topology(vcpus: int, wish: Topology, limit: Topology) -> Topology:
    """What fulfils most of the wish within the limit; then few threads and many sockets. Raises Refused where nothing fits.

    As nova/virt/hardware.py does: a wish that the number of vCPUs cannot fulfil is no error, a limit is.
    """
    possible = [
        Topology(sockets=sockets, cores=cores, threads=vcpus // sockets // cores)
        for sockets in _divisors(vcpus, limit.sockets)
        for cores in _divisors(vcpus // sockets, limit.cores)
        if not limit.threads or vcpus // sockets // cores <= limit.threads
    ]
    if not possible:
        raise Refused(f"the limits of the CPU topology leave no way to lay out {vcpus} vCPUs")
    return max(possible, key=lambda one: (_fulfilled(wish, one), one.sockets * one.cores, one.sockets))


def _divisors(number: int, limit: int) -> list[int]:
    return [one for one in range(1, min(number, limit or number) + 1) if number % one == 0]


def _fulfilled(wish: Topology, one: Topology) -> int:
    return (wish.sockets == one.sockets) + (wish.cores == one.cores) + (wish.threads == one.threads)
