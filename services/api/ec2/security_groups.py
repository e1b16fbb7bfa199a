"""Security groups, kept and shown. Nothing reaches a guest from outside whatever they say: guests are on QEMU's user network.

Sources: Amazon EC2 API Reference (CreateSecurityGroup ...), nova/api/ec2/cloud.py.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from novaflow.db.security_groups import DEFAULT
from novaflow.errors import Conflict, LimitExceeded, Missing
from novaflow.security_groups import SecurityGroup, SecurityRule
from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import shown
from services.api.ec2.paging import paged
from services.api.ec2.xml import Tree

_DIGITS: Final = re.compile(r"sg-([0-9a-f]{8}|[0-9a-f]{17})", re.ASCII)
_TEXT: Final = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}", re.ASCII)
_FIELDS: Final[Mapping[str, Field[SecurityGroup]]] = {
    "group-id": lambda group: [id_of(group)],
    "group-name": lambda group: [group.name],
    "description": lambda group: [group.description],
    "owner-id": lambda group: [group.project_id],
    "ip-permission.protocol": lambda group: [rule.protocol for rule in group.rules],
    "ip-permission.from-port": lambda group: [str(rule.from_port) for rule in group.rules],
    "ip-permission.to-port": lambda group: [str(rule.to_port) for rule in group.rules],
    "ip-permission.cidr": lambda group: [rule.cidr for rule in group.rules if rule.cidr],
    "ip-permission.group-id": lambda group: [shown("sg", rule.source_id) for rule in group.rules if rule.source_id],
    "ip-permission.group-name": lambda group: [rule.source_name for rule in group.rules if rule.source_name],
}


async def create_security_group(api: Ec2Api, call: Call) -> Answer:
    """A new group without rules."""
    name, description = call.params.text("GroupName"), call.params.text("GroupDescription")
    for parameter, given in (("GroupName", name), ("GroupDescription", description)):
        if not _TEXT.fullmatch(given) or (parameter == "GroupName" and given.startswith("sg-")):
            raise invalid_value(parameter, "It has at most 255 letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*")
    try:
        made = await api.security_groups.create(call.context, name, description)
    except Conflict:
        raise Ec2Error("InvalidGroup.Duplicate", f"The security group '{name}' already exists") from None
    except LimitExceeded as error:
        raise Ec2Error("SecurityGroupLimitExceeded", str(error)) from None
    return {"return": True, "groupId": id_of(made)}


async def describe_security_groups(api: Ec2Api, call: Call) -> Answer:
    """The project's groups with their rules, or those named; raises InvalidGroup.NotFound when one of these is not there."""
    groups = await api.security_groups.list(call.context)
    by_name, by_id = call.params.texts("GroupName"), call.params.texts("GroupId")
    if by_name or by_id:
        groups = [*(_named(groups, name) for name in by_name), *(_numbered(groups, one) for one in by_id)]
    unique = {group.id: group for group in groups}.values()
    page, token = paged(filtered(unique, call.params, _FIELDS), lambda group: group.id, call.params)
    return {"securityGroupInfo": [_view(group) for group in page], "nextToken": token}


async def delete_security_group(api: Ec2Api, call: Call) -> Answer:
    """Remove a group; raises DependencyViolation while servers are in it, CannotDelete for the default one."""
    group = await find(api, call)
    if group.name == DEFAULT:
        raise Ec2Error("CannotDelete", "the specified group: 'default' name cannot be deleted by a user")
    try:
        await api.security_groups.delete(call.context, group.id)
    except Conflict:
        raise Ec2Error("DependencyViolation", f"resource {id_of(group)} has a dependent object") from None
    except Missing:
        raise _missing(id_of(group)) from None
    return {"return": True}


async def find(api: Ec2Api, call: Call) -> SecurityGroup:
    """The group that GroupId or GroupName names; raises MissingParameter, InvalidGroup.NotFound."""
    groups = await api.security_groups.list(call.context)
    if group_id := call.params.text("GroupId", ""):
        return _numbered(groups, group_id)
    return _named(groups, call.params.text("GroupName"))


async def named_or_numbered(api: Ec2Api, call: Call, name: str, group_id: str) -> SecurityGroup:
    """One of the project's groups, by its id where there is one."""
    groups = await api.security_groups.list(call.context)
    return _numbered(groups, group_id) if group_id else _named(groups, name)


async def names_of(api: Ec2Api, call: Call, names: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
    """The names of the project's groups that are named so, or by their ids; raises InvalidGroup.NotFound."""
    groups = await api.security_groups.list(call.context) if names or ids else ()
    found = [*(_named(groups, name) for name in names), *(_numbered(groups, one) for one in ids)]
    return tuple(group.name for group in found)


def id_of(group: SecurityGroup) -> str:
    """As clients name it."""
    return shown("sg", group.id)


def _named(groups: Iterable[SecurityGroup], name: str) -> SecurityGroup:
    found = next((group for group in groups if group.name == name), None)
    if found is None:
        raise _missing(name)
    return found


def _numbered(groups: Iterable[SecurityGroup], group_id: str) -> SecurityGroup:
    if not _DIGITS.fullmatch(group_id):
        raise Ec2Error("InvalidGroupId.Malformed", f'Invalid id: "{group_id[:64]}" (expecting "sg-...")')
    number = int(group_id.removeprefix("sg-"), 16)
    found = next((group for group in groups if group.id == number), None)
    if found is None:
        raise _missing(group_id)
    return found


def _missing(given: str) -> Ec2Error:
    return Ec2Error("InvalidGroup.NotFound", f"The security group '{given[:255]}' does not exist")


def _view(group: SecurityGroup) -> Mapping[str, Tree]:
    return {
        "ownerId": group.project_id,
        "groupId": id_of(group),
        "groupName": group.name,
        "groupDescription": group.description,
        "ipPermissions": _permissions(group.rules),
        "ipPermissionsEgress": [],
        "tagSet": [],
    }


def _permissions(rules: Iterable[SecurityRule]) -> list[Tree]:
    """Rules of one protocol and one range of ports are one permission."""
    permissions: dict[tuple[str, int, int], tuple[list[Tree], list[Tree]]] = {}
    for rule in rules:
        groups, networks = permissions.setdefault((rule.protocol, rule.from_port, rule.to_port), ([], []))
        if rule.source_id is not None:
            groups.append(
                {
                    "userId": rule.source_project_id,
                    "groupId": shown("sg", rule.source_id),
                    "groupName": rule.source_name,
                }
            )
        else:
            networks.append({"cidrIp": rule.cidr})
    return [
        {"ipProtocol": protocol, "fromPort": first, "toPort": last, "groups": groups, "ipRanges": networks}
        for (protocol, first, last), (groups, networks) in permissions.items()
    ]


ACTIONS: Final = (
    Action("CreateSecurityGroup", create_security_group, takes=("GroupName", "GroupDescription")),
    Action(
        "DescribeSecurityGroups",
        describe_security_groups,
        takes=("GroupName", "GroupId", "Filter", "MaxResults", "NextToken"),
    ),
    Action("DeleteSecurityGroup", delete_security_group, takes=("GroupName", "GroupId")),
)
