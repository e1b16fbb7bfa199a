"""What a server is told about itself, in OpenStack's form and in EC2's: on its config drive and by the metadata service.

Pure. Names and keys are Nova's (nova/api/metadata/base.py,
nova/virt/netutils.py); every dated version tells only what its age knew.
"""

import base64
import binascii
import ipaddress
from typing import Final

import msgspec

from novaflow.errors import Invalid
from novaflow.models import Address, BuildPlan, Value

LATEST: Final = "latest"
GRIZZLY: Final = "2013-04-04"  # random_seed, and the password
HAVANA: Final = "2013-10-17"  # vendor_data.json
LIBERTY: Final = "2015-10-15"  # project_id, network_data.json
NEWTON_TWO: Final = "2016-10-06"  # vendor_data2.json
OPENSTACK_VERSIONS: Final = (
    "2012-08-10",
    GRIZZLY,
    HAVANA,
    LIBERTY,
    "2016-06-30",
    NEWTON_TWO,
    "2017-02-22",
    "2018-08-27",
)
EC2_VERSIONS: Final = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
)
SEED_BYTES: Final = 512
DOMAIN: Final = "novalocal"  # Nova's dhcp_domain

_SINCE: Final = {
    "local-hostname": "2007-01-19",
    "public-hostname": "2007-01-19",
    "public-ipv4": "2007-01-19",
    "instance-type": "2007-08-29",
    "block-device-mapping": "2007-12-15",
    "kernel-id": "2007-12-15",
    "ramdisk-id": "2007-12-15",
    "placement": "2008-02-01",
    "instance-action": "2008-09-01",
}
"""Of EC2's facts; what is not here is as old as EC2."""


class GuestNetwork(Value, frozen=True, kw_only=True):
    """The server's addresses and the subnet they are in; its first address is the gateway's, as in novaflow.virt.domain_network."""

    addresses: tuple[Address, ...] = ()
    subnet: str = "10.0.0.0/16"
    public_ip: str = ""


class Facts(Value, frozen=True, kw_only=True):
    """All that is told of one server. `random_seed` is SEED_BYTES of fresh randomness for the guest's own pool."""

    plan: BuildPlan
    network: GuestNetwork
    random_seed: bytes
    admin_password: str = ""
    domain: str = DOMAIN
    security_groups: tuple[str, ...] = ("default",)

    @property
    def hostname(self) -> str:
        """In full."""
        server = self.plan.server
        return f"{server.hostname}.{self.domain}" if self.domain else server.hostname

    @property
    def user_data(self) -> bytes:
        """As it was before it was base64. Raises Invalid."""
        return _decoded("user_data", self.plan.user_data)


def openstack_files(facts: Facts, version: str) -> dict[str, bytes]:
    """The files of one version's directory, by name. Raises Invalid when the user data is not base64."""
    files = {"meta_data.json": msgspec.json.encode(_known_in(version, _openstack_facts(facts), facts))}
    if facts.plan.user_data:
        files["user_data"] = facts.user_data
    if version >= HAVANA:  # "latest" sorts after every date
        files["vendor_data.json"] = b"{}"
    if version >= LIBERTY:
        files["network_data.json"] = msgspec.json.encode(describe_network(facts.network))
    if version >= NEWTON_TWO:
        files["vendor_data2.json"] = b'{"static": {}}'
    return files


def contents(facts: Facts) -> dict[str, bytes]:
    """The injected files, by the names that meta_data.json gives them. Raises Invalid when one is not base64."""
    named = enumerate(facts.plan.files)
    return {f"{number:04}": _decoded(f"the file {file.path}", file.contents) for number, file in named}


def describe_network(network: GuestNetwork) -> dict[str, object]:
    """network_data.json: links, networks on them, and services."""
    subnet = ipaddress.ip_network(network.subnet)
    links, networks = [], []
    for number, address in enumerate(network.addresses):
        link = f"interface{number}"
        links.append({"id": link, "vif_id": link, "type": "bridge", "mtu": 1500, "ethernet_mac_address": address.mac})
        networks.append({
            "id": f"network{number}",
            "type": f"ipv{address.version}",
            "link": link,
            "ip_address": address.ip,
            "netmask": str(subnet.netmask),
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": str(subnet[1])}],  # noqa: S104
            "network_id": address.network,
        })  # fmt: skip
    return {"links": links, "networks": networks, "services": []}


def ec2_metadata(facts: Facts, version: str) -> dict[str, object]:
    """EC2's meta-data tree as Nova writes it."""
    server, names = facts.plan.server, facts.plan.ec2
    addresses = facts.network.addresses
    told: dict[str, object] = {
        "ami-id": names.image,
        "ami-launch-index": server.launch_index,
        "ami-manifest-path": "FIXME",  # Nova's own word; cloud-init reads it
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": facts.hostname,
        "instance-action": "none",
        "instance-id": names.instance,
        "instance-type": server.flavor.name,
        "local-hostname": facts.hostname,
        "local-ipv4": addresses[0].ip if addresses else "",
        "placement": {"availability-zone": server.availability_zone},
        "public-hostname": facts.hostname,
        "public-ipv4": facts.network.public_ip,
        "reservation-id": server.reservation_id,
        "security-groups": list(facts.security_groups),
    }
    if server.key_name and facts.plan.public_key:
        told["public-keys"] = {"0": {"openssh-key": facts.plan.public_key}}
    if names.kernel:
        told["kernel-id"] = names.kernel
    if names.ramdisk:
        told["ramdisk-id"] = names.ramdisk
    return {key: value for key, value in told.items() if version >= _SINCE.get(key, "")}


def _openstack_facts(told: Facts) -> dict[str, object]:
    plan, server = told.plan, told.plan.server
    facts: dict[str, object] = {"uuid": server.id}
    if server.metadata:
        facts["meta"] = server.metadata
    if plan.files:
        named = enumerate(plan.files)
        facts["files"] = [{"path": file.path, "content_path": f"/content/{number:04}"} for number, file in named]
    if told.admin_password:
        facts["admin_pass"] = told.admin_password
    if server.key_name and plan.public_key:
        facts["public_keys"] = {server.key_name: plan.public_key}
        facts["keys"] = [{"name": server.key_name, "type": "ssh", "data": plan.public_key}]
    facts["hostname"] = told.hostname
    facts["name"] = server.name
    facts["launch_index"] = server.launch_index
    facts["availability_zone"] = server.availability_zone
    return facts


def _known_in(version: str, known: dict[str, object], facts: Facts) -> dict[str, object]:
    if version >= GRIZZLY:
        known["random_seed"] = base64.b64encode(facts.random_seed).decode()
    if version >= LIBERTY:
        known["project_id"] = facts.plan.server.project_id
    if version >= "2016-06-30":
        known["devices"] = []
    return known


def _decoded(what: str, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(reason=f"{what} is not base64") from None
