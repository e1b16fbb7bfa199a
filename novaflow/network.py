"""Addresses of the flat network: which exist, which one a server tries first, and its MAC. Pure.

A server's first choices follow from its id, so that two conductors seldom want the same address and nobody counts; the
database decides who has it. The MAC follows from the address, so it is as unique; its prefix
fa:16:3e is OpenStack's.
"""

import hashlib
from collections.abc import Collection, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from novaflow.config import Network
from novaflow.errors import Conflict, Invalid
from novaflow.models import Address

_FIRST: Final = 2  # 0 is the network's own address, 1 the gateway's
_MACS: Final = 2**24
_TRIES: Final = 16


def preferred(network: Network, server_id: str) -> Iterator[Address]:
    """The addresses to try for a server, always the same ones in the same order."""
    subnet = _subnet(network)
    size = _end(subnet) - _FIRST
    seen: set[int] = set()
    for attempt in range(_TRIES):
        digest = hashlib.blake2b(f"{server_id}/{attempt}".encode(), digest_size=8).digest()
        offset = _FIRST + int.from_bytes(digest) % size
        if offset not in seen:
            seen.add(offset)
            yield _address(network, subnet, offset)


def first_free(network: Network, taken: Collection[str]) -> Address:
    """The lowest address that is not `taken`; raises Conflict when there is none, in Nova's words."""
    subnet = _subnet(network)
    for offset in range(_FIRST, _end(subnet)):
        if str(subnet[offset]) not in taken:
            return _address(network, subnet, offset)
    raise Conflict(reason=f"No fixed IP addresses available for network: {network.name}")


def _subnet(network: Network) -> IPv4Network | IPv6Network:
    try:
        subnet = ip_network(network.cidr)
    except ValueError as error:
        raise Invalid(reason=f"network.cidr: {error}") from error
    if _end(subnet) <= _FIRST:
        raise Invalid(reason=f"network.cidr: {network.cidr} has no room for a server")
    return subnet


def _end(subnet: IPv4Network | IPv6Network) -> int:
    """One more than the offset of the last address that a server may have: the very last is for broadcasts."""
    return min(subnet.num_addresses - 1, _MACS)


def _address(network: Network, subnet: IPv4Network | IPv6Network, offset: int) -> Address:
    mac = "fa:16:3e:" + offset.to_bytes(3).hex(":")
    return Address(network=network.name, ip=str(subnet[offset]), mac=mac, version=subnet.version)
