"""DescribeInstances and DescribeInstancesV6: reservations with the instances in them, filtered and in pages."""

from collections.abc import Mapping
from typing import Final

from services.api.ec2.errors import Ec2Error
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.instance_lookup import everyone, named
from services.api.ec2.instance_states import reason_of
from services.api.ec2.instance_views import ROOT_DEVICE, Instance, reservations
from services.api.ec2.paging import paged
from services.api.ec2.xml import moment

_TAKES: Final = ("InstanceId", "Filter", "MaxResults", "NextToken")


async def describe_instances(api: Ec2Api, call: Call) -> Answer:
    """The instances named, or all; raises InvalidInstanceID.NotFound, and InvalidParameterCombination for names with pages."""
    page, token = paged(await found(api, call), lambda instance: instance.number, call.params)
    return {"reservationSet": reservations(page), "nextToken": token}


async def found(api: Ec2Api, call: Call) -> list[Instance]:
    """The instances that a request describes: named, or all, and filtered."""
    ids = call.params.texts("InstanceId")
    if ids and "MaxResults" in call.params:
        raise Ec2Error(
            "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"
        )
    instances = await (named(api, call, ids) if ids else everyone(api, call))
    return filtered(instances, call.params, FIELDS, lambda instance: instance.server.metadata)


def _reason(instance: Instance) -> list[str]:
    reason = reason_of(instance.server)
    return [] if reason is None else [reason[0]]


def _reason_message(instance: Instance) -> list[str]:
    reason = reason_of(instance.server)
    return [] if reason is None else [reason[1]]


FIELDS: Final[Mapping[str, Field[Instance]]] = {
    "availability-zone": lambda one: [one.zone],
    "block-device-mapping.attach-time": lambda one: [
        moment(disk.volume.attached_at) for disk in one.disks if disk.volume.attached_at
    ],
    "block-device-mapping.delete-on-termination": lambda one: [
        str(disk.volume.delete_on_termination).lower() for disk in one.disks
    ],
    "block-device-mapping.device-name": lambda one: [disk.device for disk in one.disks],
    "block-device-mapping.status": lambda one: [disk.state for disk in one.disks],
    "block-device-mapping.volume-id": lambda one: [disk.id for disk in one.disks],
    "client-token": lambda one: [one.client_token],
    "dns-name": lambda one: [one.public_address],
    "group-id": lambda one: [group_id for group_id, _ in one.groups],
    "group-name": lambda one: [name for _, name in one.groups],
    "hypervisor": lambda _: ["kvm"],
    "image-id": lambda one: [one.image],
    "instance-id": lambda one: [one.id],
    "instance-state-code": lambda one: [str(one.state.code)],
    "instance-state-name": lambda one: [one.state.word],
    "instance.group-id": lambda one: [group_id for group_id, _ in one.groups],
    "instance.group-name": lambda one: [name for _, name in one.groups],
    "instance-type": lambda one: [one.server.flavor.name],
    "ip-address": lambda one: [one.public_address] if one.public_address else [],
    "kernel-id": lambda one: [one.kernel] if one.kernel else [],
    "key-name": lambda one: [one.server.key_name] if one.server.key_name else [],
    "launch-index": lambda one: [str(one.server.launch_index)],
    "launch-time": lambda one: [moment(one.server.launched_at or one.server.created_at)],
    "monitoring-state": lambda _: ["disabled"],
    "owner-id": lambda one: [one.server.project_id],
    "private-dns-name": lambda one: [one.private_dns_name],
    "private-ip-address": lambda one: [one.address] if one.address else [],
    "ramdisk-id": lambda one: [one.ramdisk] if one.ramdisk else [],
    "reason": _reason_message,
    "reservation-id": lambda one: [one.server.reservation_id],
    "root-device-name": lambda _: [ROOT_DEVICE],
    "root-device-type": lambda _: ["instance-store"],
    "state-reason-code": _reason,
    "state-reason-message": _reason_message,
    "tenancy": lambda _: ["default"],
    "virtualization-type": lambda _: ["hvm"],
}

ACTIONS: Final = (
    Action("DescribeInstances", describe_instances, takes=_TAKES),
    Action("DescribeInstancesV6", describe_instances, takes=_TAKES),  # Icehouse's, which shows IPv6 addresses
)
