"""ModifyInstanceAttribute, for what can be changed here: the lock on an instance, its security groups, which volumes end with it."""

from typing import Final

from services.api.ec2.block_devices import NAME as BLOCK_DEVICES
from services.api.ec2.block_devices import change
from services.api.ec2.errors import Ec2Error
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.instance_lookup import one_alive
from services.api.ec2.instance_views import Instance
from services.api.ec2.security_groups import names_of

_TERMINATION: Final = "DisableApiTermination"
_GROUPS: Final = "GroupId"
_CHANGEABLE: Final = (_TERMINATION, _GROUPS, BLOCK_DEVICES)
_FIXED: Final = (
    "EbsOptimized",
    "EnaSupport",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "Kernel",
    "Ramdisk",
    "SourceDestCheck",
    "SriovNetSupport",
    "UserData",
)


async def modify_instance_attribute(api: Ec2Api, call: Call) -> Answer:
    """Change one attribute; raises UnsupportedOperation for one that cannot be, InvalidParameterCombination for two or none."""
    instance = await one_alive(api, call, call.params.text("InstanceId"))
    given = [name for name in (*_CHANGEABLE, *_FIXED) if name in call.params]
    if "Attribute" in call.params:
        name = call.params.text("Attribute")
        given = list(dict.fromkeys([*given, name[:1].upper() + name[1:]]))
    if len(given) != 1:
        raise Ec2Error("InvalidParameterCombination", "One attribute is changed at a time.")
    if given[0] == _TERMINATION:
        await _lock(api, call, instance)
    elif given[0] == _GROUPS:
        await _regroup(api, call, instance)
    elif given[0] == BLOCK_DEVICES and BLOCK_DEVICES in call.params:
        await change(api, call, instance)
    else:
        raise Ec2Error("UnsupportedOperation", f"The attribute {given[0][:64]} cannot be changed here.")
    return {"return": True}


async def _lock(api: Ec2Api, call: Call, instance: Instance) -> None:
    """Termination is forbidden by a lock, which forbids the rest too."""
    if _TERMINATION in call.params:
        value = call.params.parts(_TERMINATION)
        value.only(("Value",))
    else:
        value = call.params
    value.text("Value")  # who says nothing takes no protection away
    if value.flag("Value"):
        await api.server_actions.locks.lock(call.context, instance.server.id)
    else:
        await api.server_actions.locks.unlock(call.context, instance.server.id)


async def _regroup(api: Ec2Api, call: Call, instance: Instance) -> None:
    """Have the instance in these groups and no others."""
    wanted = {*await names_of(api, call, [], call.params.some_texts(_GROUPS))}
    present = {name for _, name in instance.groups}
    for name in sorted(wanted - present):
        await api.security_groups.add_to_server(call.context, instance.server.id, name)
    for name in sorted(present - wanted):
        await api.security_groups.remove_from_server(call.context, instance.server.id, name)


ACTIONS: Final = (
    Action(
        "ModifyInstanceAttribute",
        modify_instance_attribute,
        takes=("InstanceId", "Attribute", "Value", *_CHANGEABLE, *_FIXED),
    ),
)
