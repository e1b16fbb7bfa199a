"""Elastic addresses, kept and shown. No traffic reaches a guest at one of them: guests are on QEMU's user network.

They are of the domain `standard`, as there are no VPCs. Sources: Amazon EC2 API Reference (AllocateAddress ...), nova/api/ec2/cloud.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from novaflow.db import ec2_ids
from novaflow.errors import Conflict, Invalid, LimitExceeded, Missing
from novaflow.models import FloatingAddress
from services.api.ec2.errors import Ec2Error, missing_parameter
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import as_shown, shown
from services.api.ec2.instance_lookup import one_alive
from services.api.ec2.xml import Tree

_ALLOCATION: Final = re.compile(r"eipalloc-([0-9a-f]{8}|[0-9a-f]{17})", re.ASCII)
_DOMAIN: Final = "standard"


@dataclass(frozen=True)
class Elastic:
    """An address, and the instance that has it as EC2 names it; empty: none."""

    address: FloatingAddress
    instance: str = ""

    @property
    def id(self) -> str:
        """As clients name it."""
        return shown("eipalloc", self.address.id)

    @property
    def association(self) -> str:
        """The name of its being with an instance; empty while it is with none."""
        return shown("eipassoc", self.address.id) if self.instance else ""


_FIELDS: Final[Mapping[str, Field[Elastic]]] = {
    "allocation-id": lambda one: [one.id],
    "association-id": lambda one: [one.association] if one.association else [],
    "domain": lambda _: [_DOMAIN],
    "instance-id": lambda one: [one.instance] if one.instance else [],
    "private-ip-address": lambda one: [one.address.fixed_ip] if one.address.fixed_ip else [],
    "public-ip": lambda one: [one.address.ip],
}


async def allocate_address(api: Ec2Api, call: Call) -> Answer:
    """One address more for the project; raises AddressLimitExceeded, InsufficientAddressCapacity."""
    if call.params.text("Domain", _DOMAIN) not in (_DOMAIN, "vpc"):
        raise Ec2Error("InvalidParameterValue", "Value for parameter Domain is invalid. It is standard or vpc.")
    try:
        made = await api.floating_addresses.allocate(call.context)
    except LimitExceeded as error:
        raise Ec2Error("AddressLimitExceeded", str(error)) from None
    except Missing as error:
        raise Ec2Error("InsufficientAddressCapacity", str(error)) from None
    return {"publicIp": made.ip, "domain": _DOMAIN, "allocationId": Elastic(made).id}


async def describe_addresses(api: Ec2Api, call: Call) -> Answer:
    """The project's addresses, or those named."""
    everything = await _elastic(api, await api.floating_addresses.list(call.context))
    ips, ids = call.params.texts("PublicIp"), [as_shown(one) for one in call.params.texts("AllocationId")]
    if unknown := sorted({*ips} - {one.address.ip for one in everything}):
        raise _no_address(unknown[0])
    if unknown := sorted({*ids} - {one.id for one in everything}):
        raise _no_allocation(unknown[0])
    wanted = [one for one in everything if not (ips or ids) or one.address.ip in ips or one.id in ids]
    return {"addressesSet": [_view(one) for one in filtered(wanted, call.params, _FIELDS)]}


async def associate_address(api: Ec2Api, call: Call) -> Answer:
    """Give an address to an instance; raises Resource.AlreadyAssociated for another's when AllowReassociation says no."""
    address = await _named(api, call)
    server_id = (await one_alive(api, call, call.params.text("InstanceId"))).server.id
    if address.server_id not in (None, server_id) and not call.params.flag("AllowReassociation", default=True):
        said = f"resource {Elastic(address).id} is already associated"
        raise Ec2Error("Resource.AlreadyAssociated", said)
    private_ip = call.params.text("PrivateIpAddress", "") or None
    try:
        await api.floating_addresses.associate(call.context, server_id, address.ip, private_ip)
    except Invalid as error:
        raise Ec2Error("InvalidParameterValue" if private_ip else "IncorrectInstanceState", str(error)) from None
    except Missing:
        raise _no_address(address.ip) from None
    return {"return": True, "associationId": shown("eipassoc", address.id)}


async def disassociate_address(api: Ec2Api, call: Call) -> Answer:
    """Take an address from the instance that has it; it is all the same when none has."""
    address = await _named(api, call)
    try:
        await api.floating_addresses.disassociate(call.context, None, address.ip)
    except Conflict:
        return {"return": True}
    return {"return": True}


async def release_address(api: Ec2Api, call: Call) -> Answer:
    """Give an address back."""
    address = await _named(api, call)
    try:
        await api.floating_addresses.release(call.context, address.id)
    except Missing:
        raise _no_address(address.ip) from None
    return {"return": True}


async def _named(api: Ec2Api, call: Call) -> FloatingAddress:
    """The project's address that PublicIp, AllocationId or AssociationId names."""
    mine = await api.floating_addresses.list(call.context)
    if ip := call.params.text("PublicIp", ""):
        return _only([one for one in mine if one.ip == ip], _no_address(ip))
    for name in ("AllocationId", "AssociationId"):
        if given := call.params.text(name, ""):
            allocation = given.replace("eipassoc-", "eipalloc-", 1)
            if not _ALLOCATION.fullmatch(allocation):
                raise Ec2Error(f"Invalid{name.removesuffix('Id')}ID.NotFound", f"The ID '{given[:64]}' does not exist")
            number = int(allocation.removeprefix("eipalloc-"), 16)
            return _only([one for one in mine if one.id == number], _no_allocation(given))
    raise missing_parameter("PublicIp")


def _only(found: list[FloatingAddress], missing: Ec2Error) -> FloatingAddress:
    if not found:
        raise missing
    return found[0]


async def _elastic(api: Ec2Api, addresses: Sequence[FloatingAddress]) -> list[Elastic]:
    holders = {one.server_id for one in addresses if one.server_id}
    numbers = await api.ids.numbers(ec2_ids.INSTANCE, holders)
    return [Elastic(one, shown("i", numbers[one.server_id]) if one.server_id else "") for one in addresses]


def _view(one: Elastic) -> Mapping[str, Tree]:
    return {
        "publicIp": one.address.ip,
        "allocationId": one.id,
        "domain": _DOMAIN,
        "instanceId": one.instance or None,
        "associationId": one.association or None,
        "privateIpAddress": one.address.fixed_ip,
        "tagSet": [],
    }


def _no_address(ip: str) -> Ec2Error:
    return Ec2Error("InvalidAddress.NotFound", f"The address '{ip[:64]}' does not belong to you.")


def _no_allocation(given: str) -> Ec2Error:
    return Ec2Error("InvalidAllocationID.NotFound", f"The allocation ID '{given[:64]}' does not exist")


ACTIONS: Final = (
    Action("AllocateAddress", allocate_address, takes=("Domain",)),
    Action("DescribeAddresses", describe_addresses, takes=("PublicIp", "AllocationId", "Filter")),
    Action(
        "AssociateAddress",
        associate_address,
        takes=("PublicIp", "AllocationId", "InstanceId", "PrivateIpAddress", "AllowReassociation"),
    ),
    Action("DisassociateAddress", disassociate_address, takes=("PublicIp", "AssociationId")),
    Action("ReleaseAddress", release_address, takes=("PublicIp", "AllocationId")),
)
