"""What a server is told about itself: the config drive, in OpenStack's layout and in EC2's.

Pure: the same plan, seed and date give the same bytes. Layout and keys are Nova's (nova/api/metadata/base.py,
nova/virt/netutils.py); every dated version shows only what its age knew.
"""

import base64
import binascii
import ipaddress
from datetime import datetime
from typing import Final

import msgspec

from novaflow.errors import Invalid
from novaflow.models import Address, BuildPlan, Value
from novaflow.virt.iso9660 import build_image

LABEL: Final = "config-2"
LATEST: Final = "latest"
GRIZZLY: Final = "2013-04-04"  # random_seed
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
EC2_VERSIONS: Final = ("2009-04-04",)
SEED_BYTES: Final = 512


class GuestNetwork(Value, frozen=True, kw_only=True):
    """The server's addresses and the subnet they are in; its first address is the gateway's, as in novaflow.virt.domain_xml."""

    addresses: tuple[Address, ...] = ()
    subnet: str = "10.0.0.0/16"


def build_config_drive(
    plan: BuildPlan,
    *,
    network: GuestNetwork,
    made_at: datetime,
    random_seed: bytes,
    admin_password: str = "",
    domain: str = "novalocal",
) -> bytes:
    """An ISO 9660 image labelled config-2. `random_seed` is SEED_BYTES of fresh randomness for the guest's own pool.

    Raises Invalid when the plan's user data or an injected file is not base64.
    """
    user_data = _decoded("user_data", plan.user_data)
    contents = [_decoded(f"the file {file.path}", file.contents) for file in plan.files]
    hostname = f"{plan.server.hostname}.{domain}" if domain else plan.server.hostname
    files: dict[str, bytes] = {}
    facts = _openstack_facts(plan, hostname, admin_password)
    network_data = msgspec.json.encode(describe_network(network))
    for version in (*OPENSTACK_VERSIONS, LATEST):  # "latest" sorts after every date
        at = f"openstack/{version}"
        files[f"{at}/meta_data.json"] = msgspec.json.encode(_known_in(version, facts, plan, random_seed))
        if plan.user_data:
            files[f"{at}/user_data"] = user_data
        if version >= HAVANA:
            files[f"{at}/vendor_data.json"] = b"{}"
        if version >= LIBERTY:
            files[f"{at}/network_data.json"] = network_data
        if version >= NEWTON_TWO:
            files[f"{at}/vendor_data2.json"] = b'{"static": {}}'
    ec2 = msgspec.json.encode(describe_for_ec2(plan, hostname, network.addresses))
    for version in (*EC2_VERSIONS, LATEST):
        files[f"ec2/{version}/meta-data.json"] = ec2
        if plan.user_data:
            files[f"ec2/{version}/user-data"] = user_data
    files |= {f"openstack/content/{number:04}": content for number, content in enumerate(contents)}
    return build_image(LABEL, files, made_at)


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


def describe_for_ec2(plan: BuildPlan, hostname: str, addresses: tuple[Address, ...]) -> dict[str, object]:
    """EC2's meta-data tree as Nova writes it. Ids are eight hex digits of the UUIDs."""
    server = plan.server
    ip = addresses[0].ip if addresses else ""
    facts: dict[str, object] = {
        "ami-id": _ec2_id("ami", server.image_id),
        "ami-launch-index": server.launch_index,
        "ami-manifest-path": "FIXME",  # Nova's own word; cloud-init reads it
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": hostname,
        "instance-action": "none",
        "instance-id": _ec2_id("i", server.id),
        "instance-type": server.flavor.name,
        "local-hostname": hostname,
        "local-ipv4": ip,
        "placement": {"availability-zone": server.availability_zone},
        "public-hostname": hostname,
        "public-ipv4": "",
        "reservation-id": server.reservation_id,
        "security-groups": ["default"],
    }
    if server.key_name and plan.public_key:
        facts["public-keys"] = {"0": {"openssh-key": plan.public_key}}
    if server.kernel_id:
        facts["kernel-id"] = _ec2_id("aki", server.kernel_id)
    if server.ramdisk_id:
        facts["ramdisk-id"] = _ec2_id("ari", server.ramdisk_id)
    return facts


def _ec2_id(kind: str, uuid: str) -> str:
    return f"{kind}-{uuid.replace('-', '')[:8]:0>8}"


def _openstack_facts(plan: BuildPlan, hostname: str, admin_password: str) -> dict[str, object]:
    server = plan.server
    facts: dict[str, object] = {"uuid": server.id}
    if server.metadata:
        facts["meta"] = server.metadata
    if plan.files:
        named = enumerate(plan.files)
        facts["files"] = [{"path": file.path, "content_path": f"/content/{number:04}"} for number, file in named]
    if admin_password:
        facts["admin_pass"] = admin_password
    if server.key_name and plan.public_key:
        facts["public_keys"] = {server.key_name: plan.public_key}
        facts["keys"] = [{"name": server.key_name, "type": "ssh", "data": plan.public_key}]
    facts["hostname"] = hostname
    facts["name"] = server.name
    facts["launch_index"] = server.launch_index
    facts["availability_zone"] = server.availability_zone
    return facts


def _known_in(version: str, facts: dict[str, object], plan: BuildPlan, random_seed: bytes) -> dict[str, object]:
    known = dict(facts)
    if version >= GRIZZLY:
        known["random_seed"] = base64.b64encode(random_seed).decode()
    if version >= LIBERTY:
        known["project_id"] = plan.server.project_id
    if version >= "2016-06-30":
        known["devices"] = []
    return known


def _decoded(what: str, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(reason=f"{what} is not base64") from None
