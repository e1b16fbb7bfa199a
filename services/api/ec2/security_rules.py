"""What may reach the servers of a security group: authorized and revoked. All of a request's rules, or none, are added.

The rules come as `IpPermissions.1.IpRanges.1.CidrIp`, or one of them, in the form of older clients, as `CidrIp` beside the group.
Sources: Amazon EC2 API Reference (AuthorizeSecurityGroupIngress), nova/api/ec2/cloud.py (_rule_args_to_dict).
"""

from typing import Final

from novaflow.errors import Conflict, Invalid, LimitExceeded, Missing
from novaflow.operations.security_rules import everything_from, rule
from novaflow.security_groups import SecurityGroup, SecurityRule
from services.api.ec2.errors import Ec2Error, invalid_value, missing_parameter
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.protocol import Params
from services.api.ec2.security_groups import find, id_of, named_or_numbered

_EVERYTHING: Final = "-1"
_ANY_PORT: Final = {"icmp": (-1, -1), "tcp": (1, 65535), "udp": (1, 65535)}
_NUMBERS: Final = {"1": "icmp", "6": "tcp", "17": "udp"}
_PERMISSION: Final = ("IpProtocol", "FromPort", "ToPort", "IpRanges", "Groups", "UserIdGroupPairs")
_TAKES: Final = (
    "GroupId",
    "GroupName",
    "IpPermissions",
    "IpProtocol",
    "FromPort",
    "ToPort",
    "CidrIp",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
)


async def authorize_security_group_ingress(api: Ec2Api, call: Call) -> Answer:
    """Let more in; raises InvalidPermission.Duplicate, RulesPerSecurityGroupLimitExceeded."""
    group = await find(api, call)
    rules = await _asked(api, call)
    try:
        await api.security_groups.add_rules(call.context, group.id, rules)
    except Conflict:
        raise Ec2Error("InvalidPermission.Duplicate", "the specified rule already exists") from None
    except LimitExceeded as error:
        raise Ec2Error("RulesPerSecurityGroupLimitExceeded", str(error)) from None
    except Missing as error:
        raise Ec2Error("InvalidGroup.NotFound", str(error)) from None
    return {"return": True}


async def revoke_security_group_ingress(api: Ec2Api, call: Call) -> Answer:
    """Let no more in what these rules say; raises InvalidPermission.NotFound, when none of them is removed."""
    group = await find(api, call)
    there = {_meaning(one): one.id for one in group.rules}
    asked = [_meaning(one) for one in await _asked(api, call)]
    if not all(one in there for one in asked):
        raise Ec2Error("InvalidPermission.NotFound", f"The specified rule does not exist in {id_of(group)}")
    for one in dict.fromkeys(asked):
        await _revoke(api, call, there[one])
    return {"return": True}


async def _revoke(api: Ec2Api, call: Call, rule_id: int) -> None:
    try:
        await api.security_groups.delete_rule(call.context, rule_id)
    except Missing:
        return  # another request did it in the meantime


async def _asked(api: Ec2Api, call: Call) -> list[SecurityRule]:
    """The rules of the request; raises MissingParameter when there is none, InvalidParameterValue."""
    given = call.params
    found: list[SecurityRule] = []
    for one in given.all_parts("IpPermissions"):
        one.only(_PERMISSION)
        found += await _permitted(api, call, one)
    if source := given.text("SourceSecurityGroupName", ""):
        if "CidrIp" in given:
            raise Ec2Error("InvalidParameterCombination", "A rule is of a network or of a group.")
        group = await _source(api, call, source, "", given.text("SourceSecurityGroupOwnerId", ""))
        found += _rules(given, source_id=group.id) if "IpProtocol" in given else everything_from(group.id)
    elif "IpProtocol" in given:
        found += _from_networks(given, [given.text("CidrIp", "0.0.0.0/0")])
    if not found:
        raise missing_parameter("IpPermissions")
    return found


async def _permitted(api: Ec2Api, call: Call, permission: Params) -> list[SecurityRule]:
    networks = []
    for one in permission.all_parts("IpRanges"):
        one.only(("CidrIp", "Description"))
        networks.append(one.text("CidrIp"))
    found = _from_networks(permission, networks)
    for name in ("Groups", "UserIdGroupPairs"):
        for one in permission.all_parts(name):
            one.only(("GroupId", "GroupName", "UserId", "Description"))
            group = await _source(api, call, one.text("GroupName", ""), one.text("GroupId", ""), one.text("UserId", ""))
            found += _rules(permission, source_id=group.id)
    if not found:
        raise invalid_value("IpPermissions", "A permission names networks (IpRanges) or groups (Groups).")
    return found


def _from_networks(given: Params, networks: list[str]) -> list[SecurityRule]:
    return [made for network in networks for made in _rules(given, cidr=network)]


def _rules(given: Params, *, cidr: str | None = None, source_id: int | None = None) -> list[SecurityRule]:
    """One rule, or one for each protocol when all are meant."""
    said = given.text("IpProtocol").lower()
    protocol = _NUMBERS.get(said, said)
    protocols = list(_ANY_PORT) if protocol == _EVERYTHING else [protocol]
    made = []
    for one in protocols:
        first, last = _ANY_PORT.get(one, (1, 65535))
        if protocol != _EVERYTHING and "FromPort" in given:
            first, last = given.number("FromPort", least=-1), given.number("ToPort", least=-1)
            if (first, last) == (-1, -1) and one in _ANY_PORT:
                first, last = _ANY_PORT[one]
        try:
            made.append(rule(one, first, last, cidr=cidr, source_id=source_id))
        except Invalid as error:
            raise Ec2Error("InvalidParameterValue", str(error)) from None
    return made


async def _source(api: Ec2Api, call: Call, name: str, group_id: str, owner: str) -> SecurityGroup:
    """The group whose servers are let in; it is one of the caller's project."""
    if owner not in ("", call.context.project_id):
        raise Ec2Error("InvalidGroup.NotFound", f"The security group '{(group_id or name)[:255]}' does not exist")
    return await named_or_numbered(api, call, name, group_id)


def _meaning(one: SecurityRule) -> tuple[object, ...]:
    return one.protocol, one.from_port, one.to_port, one.cidr, one.source_id


ACTIONS: Final = (
    Action("AuthorizeSecurityGroupIngress", authorize_security_group_ingress, takes=_TAKES),
    Action("RevokeSecurityGroupIngress", revoke_security_group_ingress, takes=_TAKES),
)
