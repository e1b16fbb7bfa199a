"""RunInstances: from a request to what is asked of the cloud, once for each client token.

Sources: Amazon EC2 API Reference (RunInstances), nova/api/ec2/cloud.py (run_instances).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from novaflow.errors import Missing
from novaflow.models import ClientToken, Flavor, Server
from novaflow.operations.boot_drafts import BootRequest
from novaflow.operations.flavors import FlavorQuery
from novaflow.operations.passwords import generate_password
from services.api.ec2.block_devices import NAME as BLOCK_DEVICES
from services.api.ec2.block_devices import data_disks
from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import IMAGE, resolve
from services.api.ec2.images import find
from services.api.ec2.instance_lookup import described
from services.api.ec2.instance_views import reservation
from services.api.ec2.protocol import Params
from services.api.ec2.security_groups import names_of
from services.api.ec2.tag_rules import tags_of

MAX_COUNT: Final = 1000  # instances of one request
MAX_USER_DATA: Final = 16384  # bytes
_MAX_TOKEN: Final = 64  # characters
_DEFAULT_TYPE: Final = "m1.small"
_AS_IT_IS: Final = {
    "DisableApiTermination": ("false", "0"),
    "EbsOptimized": ("false", "0"),
    "InstanceInitiatedShutdownBehavior": ("stop",),
}
"""What every new instance has, and what clients may say of it all the same."""


async def run_instances(api: Ec2Api, call: Call) -> Answer:
    """Record the instances and order their builds; for a client token that was used, those that were made with it."""
    params = call.params
    fewest = params.number("MinCount", least=1, most=MAX_COUNT)
    most = params.number("MaxCount", least=1, most=MAX_COUNT)
    if fewest > most:
        raise invalid_value("MinCount", "It is greater than MaxCount.")
    _refuse_what_is_not_there(params)
    user_data = params.data("UserData", b"", most=MAX_USER_DATA)
    once = _once(call)
    # Before anything is looked up: its key, its groups and its image may have gone since.
    if earlier := await api.boots.made_with(call.context, once):
        return await _reservation(api, call, earlier)
    image, kernel, ramdisk = await _images(api, call)
    flavor = await _flavor(api, call)
    request = BootRequest(
        name="",
        flavor_id=flavor.id,
        image_id=image,
        kernel_id=kernel,
        ramdisk_id=ramdisk,
        admin_password=generate_password(),
        min_count=fewest,
        max_count=most,
        key_name=await _key_name(api, call),
        security_groups=await names_of(api, call, params.texts("SecurityGroup"), params.texts("SecurityGroupId")),
        user_data=base64.b64encode(user_data).decode(),
        availability_zone=params.parts("Placement").text("AvailabilityZone", ""),
        metadata=_tags(call),
        disks=await data_disks(api, call, flavor),
        once=once,
    )
    return await _reservation(api, call, await api.boots.boot(call.context, request))


def _refuse_what_is_not_there(params: Params) -> None:
    for name, values in _AS_IT_IS.items():
        if params.text(name, values[0]).lower() not in values:
            raise Ec2Error("UnsupportedOperation", f"{name} of a new instance is {values[0]} here.")
    monitoring, placement = params.parts("Monitoring"), params.parts("Placement")
    monitoring.only(("Enabled",))
    placement.only(("AvailabilityZone", "Tenancy", "GroupName"))
    if monitoring.flag("Enabled") or placement.text("Tenancy", "default") != "default":
        raise Ec2Error(
            "UnsupportedOperation", "There is no detailed monitoring here, and the tenancy is the default one."
        )
    if placement.text("GroupName", ""):
        raise Ec2Error("InvalidPlacementGroup.Unknown", "There are no placement groups here.")


async def _reservation(api: Ec2Api, call: Call, made: Sequence[Server]) -> Answer:
    return reservation(await described(api, call, [server.id for server in made], made))


async def _images(api: Ec2Api, call: Call) -> tuple[str, str, str]:
    """The image, and the kernel and the ramdisk where others than the image's own are asked for."""
    given = [call.params.text("ImageId"), call.params.text("KernelId", ""), call.params.text("RamdiskId", "")]
    found = await resolve(api.ids, IMAGE, [one for one in given if one])
    for file in filter(None, given[1:]):  # who boots the image looks at that himself
        await find(api, call, found[file], file)
    image, kernel, ramdisk = (found.get(one, "") for one in given)
    return image, kernel, ramdisk


async def _flavor(api: Ec2Api, call: Call) -> Flavor:
    name = call.params.text("InstanceType", _DEFAULT_TYPE)
    for flavor in await api.flavors.list(call.context, FlavorQuery(is_public=None)):
        if flavor.name == name:
            return flavor
    raise Ec2Error("InvalidParameterValue", f"Invalid value '{name[:64]}' for InstanceType.")


async def _key_name(api: Ec2Api, call: Call) -> str | None:
    """The caller's key pair; raises InvalidKeyPair.NotFound."""
    name = call.params.text("KeyName", "")
    if not name:
        return None
    try:
        return (await api.keypairs.get(call.context, name)).name
    except Missing as error:
        raise Ec2Error("InvalidKeyPair.NotFound", f"The key pair '{name[:255]}' does not exist") from error


def _tags(call: Call) -> dict[str, str]:
    """The tags of the instances; there is nothing else that could be tagged when instances are made."""
    found: dict[str, str] = {}
    for part in call.params.all_parts("TagSpecification"):
        part.only(("ResourceType", "Tag"))
        if part.text("ResourceType") != "instance":
            raise invalid_value("TagSpecification.ResourceType", "Only instances are tagged when they are made.")
        found |= tags_of(part)
    return found


def _once(call: Call) -> ClientToken | None:
    token = call.params.text("ClientToken", "")
    if not token:
        return None
    if len(token) > _MAX_TOKEN or not token.isascii():
        raise Ec2Error("InvalidClientToken", f"A client token has at most {_MAX_TOKEN} ASCII characters.")
    asked: Mapping[str, Any] = call.params.as_given()
    others = {name: value for name, value in asked.items() if name != "ClientToken"}
    return ClientToken(token=token, digest=hashlib.sha256(msgspec.json.encode(others, order="sorted")).hexdigest())


ACTIONS: Final = (
    Action(
        "RunInstances",
        run_instances,
        takes=(
            *_AS_IT_IS,
            BLOCK_DEVICES,
            "ClientToken",
            "ImageId",
            "InstanceType",
            "KernelId",
            "KeyName",
            "MaxCount",
            "MinCount",
            "Monitoring",
            "Placement",
            "RamdiskId",
            "SecurityGroup",
            "SecurityGroupId",
            "TagSpecification",
            "UserData",
        ),
    ),
)
