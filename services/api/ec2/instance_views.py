"""Servers as EC2 shows instances: one by one, and in the reservations that they were made in.

Sources: Amazon EC2 API Reference (Instance, Reservation), nova/api/ec2/cloud.py (_format_instances).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from novaflow.models import Server
from novaflow.states import Vm
from services.api.ec2.ids import shown
from services.api.ec2.instance_states import InstanceState, reason_of, state_of
from services.api.ec2.volume_views import AttachedVolume
from services.api.ec2.xml import Tree

ROOT_DEVICE: Final = "/dev/vda"


@dataclass(frozen=True)
class Instance:
    """A server with the numbers by which EC2 knows it and what it was made of."""

    server: Server
    number: int
    image: str  # ami-0000002a; empty: none
    kernel: str
    ramdisk: str
    client_token: str = ""
    groups: tuple[tuple[str, str], ...] = ()  # ids and names of its security groups
    disks: tuple[AttachedVolume, ...] = ()
    public_address: str = ""  # that is kept for it; see services/api/ec2/addresses.py for what that means

    @property
    def id(self) -> str:
        """As clients name it."""
        return shown("i", self.number)

    @property
    def state(self) -> InstanceState:
        """What EC2 calls its state."""
        return state_of(self.server)

    @property
    def zone(self) -> str:
        """Where it is, or was asked to be."""
        return self.server.availability_zone

    @property
    def address(self) -> str:
        """Its address inside the cloud; empty while it is being built."""
        server = self.server
        return "" if server.vm is Vm.BUILDING else next((one.ip for one in server.addresses if one.version == 4), "")

    @property
    def private_dns_name(self) -> str:
        """Its host name."""
        return self.server.hostname if self.address else ""


def reservations(instances: Iterable[Instance]) -> list[Tree]:
    """The reservations that these are in, in the order in which they come."""
    grouped: dict[str, list[Instance]] = {}
    for instance in instances:
        grouped.setdefault(instance.server.reservation_id, []).append(instance)
    return [reservation(inside) for inside in grouped.values()]


def reservation(instances: list[Instance]) -> Mapping[str, Tree]:
    """What one request made; there is at least one."""
    server = instances[0].server
    return {
        "reservationId": server.reservation_id,
        "ownerId": server.project_id,
        "groupSet": group_views(instances[0]),
        "instancesSet": [_view(instance) for instance in instances],
    }


def state_view(state: InstanceState) -> Mapping[str, Tree]:
    """A state."""
    return {"code": state.code, "name": state.word}


def tag_views(tags: Mapping[str, str]) -> list[Tree]:
    """Tags where they are shown with what they are of."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def group_views(instance: Instance) -> list[Tree]:
    """The security groups that it is in."""
    return [{"groupId": group_id, "groupName": name} for group_id, name in instance.groups]


def _view(instance: Instance) -> Mapping[str, Tree]:
    server, reason = instance.server, reason_of(instance.server)
    return {
        "instanceId": instance.id,
        "imageId": instance.image,
        "instanceState": state_view(instance.state),
        "privateDnsName": instance.private_dns_name,
        "dnsName": instance.public_address,
        "reason": "" if reason is None else reason[1],
        "keyName": server.key_name,
        "amiLaunchIndex": server.launch_index,
        "productCodes": [],
        "instanceType": server.flavor.name,
        "launchTime": server.launched_at or server.created_at,
        "placement": {"availabilityZone": instance.zone, "groupName": "", "tenancy": "default"},
        "kernelId": instance.kernel or None,
        "ramdiskId": instance.ramdisk or None,
        "monitoring": {"state": "disabled"},
        "privateIpAddress": instance.address or None,
        "ipAddress": instance.public_address or None,
        "groupSet": group_views(instance),
        "stateReason": None if reason is None else {"code": reason[0], "message": reason[1]},
        "rootDeviceType": "instance-store",
        "rootDeviceName": ROOT_DEVICE,
        "blockDeviceMapping": [disk.view for disk in instance.disks],
        "virtualizationType": "hvm",
        "clientToken": instance.client_token,
        "tagSet": tag_views(server.metadata),
        "hypervisor": "kvm",
        "networkInterfaceSet": [],
        "ebsOptimized": False,
    }
