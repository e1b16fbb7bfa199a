"""What a rule of a security group may say: pure checks. Source: nova/compute/api.py (parse_cidr, new_cidr_ingress_rule, _validate...)."""

from ipaddress import ip_network
from typing import Final

from novaflow.errors import Invalid
from novaflow.security_groups import SecurityRule

PROTOCOLS: Final = ("icmp", "tcp", "udp")
ANY: Final = "0.0.0.0/0"
_LAST_PORT: Final = 65535
_LAST_TYPE: Final = 255


def rule(
    protocol: str, from_port: int, to_port: int, *, cidr: str | None = None, source_id: int | None = None
) -> SecurityRule:
    """A rule that is not recorded yet, from a network or from the servers of a group. Raises Invalid."""
    known = protocol.lower()
    if known not in PROTOCOLS:
        raise Invalid(reason=f"Invalid IP protocol {protocol}.")
    if refused := _refused(known, from_port, to_port):
        raise Invalid(reason=f"Invalid port range {from_port}:{to_port}. {refused}")
    source = network(cidr or ANY) if source_id is None else None
    return SecurityRule(
        id=0, group_id=0, protocol=known, from_port=from_port, to_port=to_port, cidr=source, source_id=source_id
    )


def everything_from(source_id: int) -> list[SecurityRule]:
    """All that the servers of a group can send, protocol by protocol."""
    ranges = {"icmp": (-1, -1), "tcp": (1, _LAST_PORT), "udp": (1, _LAST_PORT)}
    return [rule(protocol, *ports, source_id=source_id) for protocol, ports in ranges.items()]


def network(cidr: str) -> str:
    """A network in its canonical form; raises Invalid."""
    try:
        return str(ip_network(cidr.strip(), strict=False))
    except ValueError:
        raise Invalid(reason=f"{cidr} is not a valid IP network.") from None


def _refused(protocol: str, from_port: int, to_port: int) -> str:
    if protocol == "icmp":
        is_type_and_code = all(-1 <= one <= _LAST_TYPE for one in (from_port, to_port))
        return "" if is_type_and_code else "For ICMP, the type:code must be valid"
    if from_port > to_port:
        return "Former value cannot be greater than the later"
    if from_port < 1 or to_port > _LAST_PORT:
        return f"Valid {protocol.upper()} ports should be between 1-65535"
    return ""
