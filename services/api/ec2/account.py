"""What an account may have, the types of instances, and the virtual networks, of which there are none."""

from collections.abc import Mapping
from typing import Final

from novaflow.models import Flavor
from novaflow.operations.flavors import FlavorQuery
from services.api.ec2.errors import Ec2Error
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.paging import paged
from services.api.ec2.xml import Tree


async def describe_account_attributes(api: Ec2Api, call: Call) -> Answer:
    """How many instances and addresses the project may have, and that it has no virtual networks."""
    limits = await api.quotas.limits(call.context, call.context.project_id)
    values = {
        "supported-platforms": "EC2",
        "default-vpc": "none",
        "max-instances": str(limits.instances),
        "vpc-max-security-groups-per-interface": "0",
        "max-elastic-ips": str(limits.floating_ips),
        "vpc-max-elastic-ips": "0",
    }
    names = call.params.texts("AttributeName") or list(values)
    for name in names:
        if name not in values:
            raise Ec2Error("InvalidParameterValue", f"Invalid account attribute: {name[:64]}")
    return {"accountAttributeSet": [_attribute(name, values[name]) for name in names]}


async def describe_vpcs(_api: Ec2Api, call: Call) -> Answer:
    """None."""
    if ids := call.params.texts("VpcId"):
        raise Ec2Error("InvalidVpcID.NotFound", f"The vpc ID '{ids[0][:64]}' does not exist")
    return {"vpcSet": []}


async def describe_instance_types(api: Ec2Api, call: Call) -> Answer:
    """The flavors that the caller may use."""
    flavors = list(await api.flavors.list(call.context, FlavorQuery(is_public=None)))
    if names := call.params.texts("InstanceType"):
        known = {flavor.name for flavor in flavors}
        if unknown := [name for name in names if name not in known]:
            said = f"The following supplied instance types do not exist: [{', '.join(unknown)[:255]}]"
            raise Ec2Error("InvalidInstanceType", said)
        flavors = [flavor for flavor in flavors if flavor.name in names]
    numbers = {flavor.id: number for number, flavor in enumerate(flavors)}
    page, token = paged(filtered(flavors, call.params, _TYPE_FIELDS), lambda flavor: numbers[flavor.id], call.params)
    return {"instanceTypeSet": [_type(flavor) for flavor in page], "nextToken": token}


def _attribute(name: str, value: str) -> Tree:
    return {"attributeName": name, "attributeValueSet": [{"attributeValue": value}]}


def _type(flavor: Flavor) -> Tree:
    return {
        "instanceType": flavor.name,
        "currentGeneration": True,
        "freeTierEligible": False,
        "supportedUsageClasses": ["on-demand"],
        "supportedRootDeviceTypes": ["instance-store"],
        "supportedVirtualizationTypes": ["hvm"],
        "bareMetal": False,
        "hypervisor": None,
        "vCpuInfo": {"defaultVCpus": flavor.vcpus, "defaultCores": flavor.vcpus, "defaultThreadsPerCore": 1},
        "memoryInfo": {"sizeInMiB": flavor.ram_mb},
        "instanceStorageSupported": flavor.disk_gb > 0,
        "instanceStorageInfo": {"totalSizeInGB": flavor.disk_gb + flavor.ephemeral_gb},
        "hibernationSupported": False,
        "burstablePerformanceSupported": False,
        "dedicatedHostsSupported": False,
        "autoRecoverySupported": False,
    }


_TYPE_FIELDS: Final[Mapping[str, Field[Flavor]]] = {
    "instance-type": lambda flavor: [flavor.name],
    "vcpu-info.default-vcpus": lambda flavor: [str(flavor.vcpus)],
    "memory-info.size-in-mib": lambda flavor: [str(flavor.ram_mb)],
    "current-generation": lambda _: ["true"],
    "bare-metal": lambda _: ["false"],
}

ACTIONS: Final = (
    Action("DescribeAccountAttributes", describe_account_attributes, takes=("AttributeName",)),
    Action("DescribeVpcs", describe_vpcs, takes=("VpcId", "Filter", "MaxResults", "NextToken")),
    Action(
        "DescribeInstanceTypes",
        describe_instance_types,
        takes=("InstanceType", "Filter", "MaxResults", "NextToken"),
    ),
)
