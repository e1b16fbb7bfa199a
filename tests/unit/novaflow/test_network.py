"""Addresses of the flat network."""

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.config import Network
from novaflow.errors import Conflict, Invalid
from novaflow.network import first_free, preferred

MAC = re.compile(r"fa:16:3e(:[0-9a-f]{2}){3}")


@given(server_id=st.text(max_size=40), prefix=st.integers(8, 29))
def test_a_server_prefers_real_addresses_and_always_the_same(server_id: str, prefix: int) -> None:
    network = Network(cidr=f"10.0.0.0/{prefix}")
    subnet = ip_network(network.cidr)

    found = list(preferred(network, server_id))

    assert found
    assert found == list(preferred(network, server_id))
    assert len({address.ip for address in found}) == len(found)
    for address in found:
        assert ip_address(address.ip) in subnet
        assert address.ip not in (str(subnet[0]), str(subnet[1]), str(subnet[-1]))
        assert MAC.fullmatch(address.mac)
        assert (address.network, address.version) == ("private", 4)


def test_the_first_free_address_is_the_lowest() -> None:
    network = Network(cidr="10.0.0.0/29")

    assert first_free(network, ()).ip == "10.0.0.2"
    assert first_free(network, {"10.0.0.2", "10.0.0.4"}).ip == "10.0.0.3"


def test_a_full_network_says_so_as_nova_does() -> None:
    taken = {f"10.0.0.{last}" for last in range(2, 7)}

    with pytest.raises(Conflict, match="No fixed IP addresses available for network: private"):
        first_free(Network(cidr="10.0.0.0/29"), taken)


def test_no_two_addresses_share_a_mac() -> None:
    network = Network(cidr="10.0.0.0/24")
    taken: set[str] = set()
    macs: set[str] = set()
    for _ in range(253):
        address = first_free(network, taken)
        taken.add(address.ip)
        macs.add(address.mac)

    assert len(macs) == 253


def test_version_six_works_too() -> None:
    address = next(preferred(Network(cidr="2001:db8::/64"), "s"))

    assert address.version == 6
    assert ip_address(address.ip) in ip_network("2001:db8::/64")


@pytest.mark.parametrize("cidr", ["nonsense", "10.0.0.1/24", "10.0.0.0/31", "10.0.0.0/32"])
def test_a_network_that_cannot_be_is_named(cidr: str) -> None:
    with pytest.raises(Invalid, match=r"network\.cidr"):
        first_free(Network(cidr=cidr), ())
