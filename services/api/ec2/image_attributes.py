"""One attribute of an image, shown or changed: who may use it, and what is said about it.

Clients from 2016 say `LaunchPermission.Add.1.Group=all`, older ones `Attribute=launchPermission&OperationType=add&UserGroup.1=all`.
Sources: Amazon EC2 API Reference (ModifyImageAttribute), nova/api/ec2/cloud.py.
"""

from typing import Final

from novaflow.errors import Forbidden, NotFound
from services.api.ec2.errors import Ec2Error, invalid_value, missing_parameter
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import IMAGE, resolve
from services.api.ec2.images import Machine, find, numbered
from services.api.ec2.xml import Tree

_EVERYBODY: Final = "all"
_PERMISSION: Final = "launchPermission"
_MOST: Final = 50  # projects in one request
Change = tuple[str, str]
"""Whom it is about, a project or `all`, and whether it is to `add` or `remove`."""


async def describe_image_attribute(api: Ec2Api, call: Call) -> Answer:
    """The attribute named; raises InvalidParameterValue for one that images do not have."""
    image_id, given = await _named(api, call)
    (image,) = await numbered(api, [await find(api, call, image_id, given)])
    attribute = call.params.text("Attribute")
    if attribute == _PERMISSION:
        return {"imageId": image.id, _PERMISSION: await _permissions(api, call, image)}
    simple: dict[str, dict[str, Tree]] = {
        "description": {"description": {"value": image.said("description")}},
        "kernel": {"kernel": {"value": image.kernel}},
        "ramdisk": {"ramdisk": {"value": image.ramdisk}},
        "blockDeviceMapping": {"blockDeviceMapping": []},
        "productCodes": {"productCodes": []},
    }
    if attribute not in simple:
        raise invalid_value("Attribute", f"Unknown attribute '{attribute[:64]}'.")
    return {"imageId": image.id, **simple[attribute]}


async def modify_image_attribute(api: Ec2Api, call: Call) -> Answer:
    """Change the description or the launch permissions of an image of the caller's."""
    image_id, given = await _named(api, call)
    image = await find(api, call, image_id, given)
    if image.owner != call.context.project_id and not call.context.is_admin:
        raise Ec2Error("AuthFailure", f"Not authorized for image:{given}")
    description, changes = _description(call), _changes(call)
    if description is None and not changes:
        raise missing_parameter("Attribute")
    try:
        if description is not None:
            await api.images.change(call.context, image_id, {"description": description})
        for operation in (op for who, op in changes if who == _EVERYBODY):
            await api.images.publish(call.context, image_id, is_public=operation == "add")
        more, fewer = ([who for who, op in changes if op == one and who != _EVERYBODY] for one in ("add", "remove"))
        if more or fewer:
            await api.images.share(call.context, image_id, more=more, fewer=fewer)
    except NotFound:
        raise IMAGE.missing([given]) from None
    except Forbidden:
        raise Ec2Error("UnauthorizedOperation", "You are not authorized to perform this operation.") from None
    return {"return": True}


async def reset_image_attribute(api: Ec2Api, call: Call) -> Answer:
    """Let the owner alone use an image; there is no other attribute to reset."""
    image_id, given = await _named(api, call)
    if call.params.text("Attribute") != _PERMISSION:
        raise invalid_value("Attribute", f"Only {_PERMISSION} can be reset.")
    try:
        await api.images.withdraw(call.context, image_id)
    except NotFound:
        raise IMAGE.missing([given]) from None
    except Forbidden:
        raise Ec2Error("AuthFailure", f"Not authorized for image:{given}") from None
    return {"return": True}


async def _named(api: Ec2Api, call: Call) -> tuple[str, str]:
    given = call.params.text("ImageId")
    return (await resolve(api.ids, IMAGE, [given]))[given], given


async def _permissions(api: Ec2Api, call: Call, image: Machine) -> list[Tree]:
    if image.is_public:
        return [{"group": _EVERYBODY}]
    if image.facts.owner != call.context.project_id:
        raise Ec2Error("AuthFailure", f"Not authorized for image:{image.id}")
    return [{"userId": project_id} for project_id in await api.images.members(call.context, image.facts.id)]


def _description(call: Call) -> str | None:
    """The new description, in any of the forms that clients have for it; None when it stays."""
    params = call.params
    if "Description" in params:
        said = params.parts("Description").text("Value", "")
    elif params.text("Attribute", "") == "description":
        said = params.text("Value", "")
    else:
        return None
    if len(said) > 255:
        raise invalid_value("Description", "It has at most 255 characters.")
    return said


def _changes(call: Call) -> list[Change]:
    """Who may use it from now on, and who may not."""
    params = call.params
    changes: list[Change] = []
    wanted = params.parts("LaunchPermission")
    wanted.only(("Add", "Remove"))
    for name, operation in (("Add", "add"), ("Remove", "remove")):
        for one in wanted.all_parts(name, most=_MOST):
            one.only(("Group", "UserId"))
            who = one.text("Group") if "Group" in one else one.text("UserId")
            changes.append((_group(who) if "Group" in one else who, operation))
    if params.text("Attribute", "") == _PERMISSION and not changes:
        operation = params.text("OperationType")
        if operation not in ("add", "remove"):
            raise invalid_value("OperationType", "It is add or remove.")
        changes += [(_group(one), operation) for one in params.texts("UserGroup", most=_MOST)]
        changes += [(one, operation) for one in params.texts("UserId", most=_MOST)]
    return changes


def _group(given: str) -> str:
    if given != _EVERYBODY:
        raise invalid_value("Group", "The only group is all.")
    return given


ACTIONS: Final = (
    Action("DescribeImageAttribute", describe_image_attribute, takes=("ImageId", "Attribute")),
    Action("ResetImageAttribute", reset_image_attribute, takes=("ImageId", "Attribute")),
    Action(
        "ModifyImageAttribute",
        modify_image_attribute,
        takes=(
            "ImageId",
            "Attribute",
            "Description",
            "LaunchPermission",
            "OperationType",
            "UserGroup",
            "UserId",
            "Value",
        ),
    ),
)
