"""What is told of one instance at a time: its attributes, its console, its password, and how it is."""

import base64
from collections.abc import Mapping
from typing import Final

from novaflow.errors import Conflict, NotFound
from novaflow.states import Power
from services.api.ec2.errors import Ec2Error
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.instance_lookup import everyone, named, one_alive, one_named
from services.api.ec2.instance_states import InstanceState
from services.api.ec2.instance_views import ROOT_DEVICE, Instance, group_views, state_view
from services.api.ec2.paging import paged
from services.api.ec2.xml import Tree

_CONSOLE_BYTES: Final = 65536


async def describe_instance_attribute(api: Ec2Api, call: Call) -> Answer:
    """One attribute; those that nobody can change here are as they are for every instance. User data is gone with its instance."""
    name = call.params.text("Attribute")
    find = one_alive if name == "userData" else one_named
    instance = await find(api, call, call.params.text("InstanceId"))
    attributes = _attributes(instance)
    if name == "userData":
        attributes[name] = {"value": await api.servers.user_data(call.context, instance.server.id) or None}
    if name not in attributes:
        raise Ec2Error("InvalidParameterValue", f"Value ({name[:64]}) for parameter attribute is invalid.")
    return {"instanceId": instance.id, name: attributes[name]}


def _attributes(instance: Instance) -> dict[str, Tree]:
    server = instance.server
    return {
        "instanceType": {"value": server.flavor.name},
        "kernel": {"value": instance.kernel or None},
        "ramdisk": {"value": instance.ramdisk or None},
        "userData": None,
        "disableApiTermination": {"value": server.is_locked},
        "instanceInitiatedShutdownBehavior": {"value": "stop"},
        "rootDeviceName": {"value": ROOT_DEVICE},
        "blockDeviceMapping": [disk.view for disk in instance.disks],
        "groupSet": group_views(instance),
        "productCodes": [],
        "ebsOptimized": {"value": False},
        "sourceDestCheck": {"value": True},
    }


async def get_console_output(api: Ec2Api, call: Call) -> Answer:
    """What the guest wrote to its console, the last 64 KiB; nothing while it is on no host, or on none any more."""
    ids = call.params.some_texts("InstanceId", most=1)  # a list of one for boto 2
    instance = await one_named(api, call, ids[0])
    call.params.flag("Latest")
    try:
        output = await api.server_actions.guests.console_output(call.context, instance.server.id, None)
    except (Conflict, NotFound):
        output = ""
    kept = output.encode("utf-8", "replace")[-_CONSOLE_BYTES:]
    return {
        "instanceId": instance.id,
        "timestamp": api.clock.now(),
        "output": base64.b64encode(kept).decode(),
    }


async def get_password_data(api: Ec2Api, call: Call) -> Answer:
    """The password that the guest has encrypted for its owner and posted; empty when it has not, or is gone."""
    instance = await one_named(api, call, call.params.text("InstanceId"))
    password = "" if instance.server.deleted_at else await api.guest_passwords.shown(call.context, instance.server.id)
    return {"instanceId": instance.id, "timestamp": api.clock.now(), "passwordData": password}


async def describe_instance_status(api: Ec2Api, call: Call) -> Answer:
    """How the instances are that run, or all of them. The host vouches for the instance: nobody asks the guest."""
    ids = call.params.texts("InstanceId")
    instances = await (named(api, call, ids) if ids else everyone(api, call))
    if not call.params.flag("IncludeAllInstances"):
        instances = [one for one in instances if one.state is InstanceState.RUNNING]
    page, token = paged(filtered(instances, call.params, _STATUS_FIELDS), lambda one: one.number, call.params)
    return {"instanceStatusSet": [_status_view(one) for one in page], "nextToken": token}


def _status(instance: Instance) -> str:
    if instance.state is not InstanceState.RUNNING:
        return "initializing" if instance.state is InstanceState.PENDING else "not-applicable"
    return "ok" if instance.server.power is Power.RUNNING else "impaired"


def _status_view(instance: Instance) -> Tree:
    status = {"status": _status(instance)}
    return {
        "instanceId": instance.id,
        "availabilityZone": instance.zone,
        "instanceState": state_view(instance.state),
        "systemStatus": status,
        "instanceStatus": status,
    }


_STATUS_FIELDS: Final[Mapping[str, Field[Instance]]] = {
    "availability-zone": lambda one: [one.zone],
    "instance-state-code": lambda one: [str(one.state.code)],
    "instance-state-name": lambda one: [one.state.word],
    "instance-status.status": lambda one: [_status(one)],
    "system-status.status": lambda one: [_status(one)],
}

ACTIONS: Final = (
    Action("DescribeInstanceAttribute", describe_instance_attribute, takes=("InstanceId", "Attribute")),
    Action("GetConsoleOutput", get_console_output, takes=("InstanceId", "Latest")),
    Action("GetPasswordData", get_password_data, takes=("InstanceId",)),
    Action(
        "DescribeInstanceStatus",
        describe_instance_status,
        takes=("InstanceId", "Filter", "IncludeAllInstances", "MaxResults", "NextToken"),
    ),
)
