"""Images: described, made of instances, deregistered. They are the image service's; what EC2 calls them is kept here.

An image of an instance is made while the guest goes on, whatever NoReboot says. Sources: Amazon EC2 API Reference,
nova/api/ec2/cloud.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from novaflow.db import ec2_ids
from novaflow.errors import Conflict, Forbidden, NotFound, Protected
from novaflow.models import ImageFacts
from novaflow.operations.images import PUBLIC, SHARED
from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import IMAGE, resolve, shown
from services.api.ec2.instance_lookup import one_alive
from services.api.ec2.instance_views import tag_views
from services.api.ec2.paging import paged
from services.api.ec2.tag_rules import MAX_TAGS
from services.api.ec2.volume_views import tags_asked
from services.api.ec2.xml import Tree, moment

_KINDS: Final = {"aki": "kernel", "ari": "ramdisk"}  # by container format, which is the prefix of the id too
_STATES: Final = {"active": "available", "queued": "pending", "saving": "pending", "importing": "pending"}
_LONGEST_NAME: Final = 128
_LONGEST_DESCRIPTION: Final = 255


@dataclass(frozen=True)
class Machine:
    """An image with the number by which EC2 knows it, and those of what it boots with."""

    facts: ImageFacts
    number: int
    kernel: str = ""
    ramdisk: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)  # those that the caller's project gave it

    @property
    def kind(self) -> str:
        """What EC2 calls its type."""
        return _KINDS.get(self.facts.container_format, "machine")

    @property
    def id(self) -> str:
        """As clients name it."""
        return shown(self.facts.container_format if self.kind != "machine" else "ami", self.number)

    @property
    def state(self) -> str:
        """Whether it can be used."""
        return _STATES.get(self.facts.status, "failed" if self.facts.status == "killed" else "invalid")

    @property
    def is_public(self) -> bool:
        """Everybody sees it."""
        return self.facts.visibility == PUBLIC

    def said(self, name: str, default: str = "") -> str:
        """A property of the image."""
        return self.facts.properties.get(name, default)


_FIELDS: Final[Mapping[str, Field[Machine]]] = {
    "architecture": lambda image: [image.said("architecture", "x86_64")],
    "creation-date": lambda image: [moment(image.facts.created_at)] if image.facts.created_at else [],
    "description": lambda image: [image.said("description")],
    "image-id": lambda image: [image.id],
    "image-type": lambda image: [image.kind],
    "is-public": lambda image: [str(image.is_public).lower()],
    "kernel-id": lambda image: [image.kernel] if image.kernel else [],
    "name": lambda image: [image.facts.name],
    "owner-id": lambda image: [image.facts.owner],
    "ramdisk-id": lambda image: [image.ramdisk] if image.ramdisk else [],
    "root-device-type": lambda _: ["instance-store"],
    "state": lambda image: [image.state],
    "virtualization-type": lambda _: ["hvm"],
}


async def describe_images(api: Ec2Api, call: Call) -> Answer:
    """The images that the caller sees, or those named."""
    ids = call.params.texts("ImageId")
    found = await (some_named(api, call, ids) if ids else api.images.list(call.context))
    images = await numbered(api, [image for image in found if image.status not in ("deleted", "pending_delete")])
    tags = await api.tags.of_project(call.context.project_id)
    images = [replace(image, tags=tags.get(image.id, {})) for image in images]
    wanted = [image for image in images if _is_owned(call, image) and _is_executable(call, image)]
    page, token = paged(
        filtered(wanted, call.params, _FIELDS, lambda image: image.tags), lambda image: image.number, call.params
    )
    return {"imagesSet": [_view(image) for image in page], "nextToken": token}


async def deregister_image(api: Ec2Api, call: Call) -> Answer:
    """Remove an image; instances made of it stay."""
    given = call.params.text("ImageId")
    image_id = (await resolve(api.ids, IMAGE, [given]))[given]
    try:
        await api.images.delete(call.context, image_id)
    except NotFound:
        raise IMAGE.missing([given]) from None
    except (Forbidden, Protected):
        raise _not_yours(given) from None
    except Conflict as error:
        raise Ec2Error("InvalidAMIID.Unavailable", str(error)) from None
    names = [shown(prefix, IMAGE.number(given)) for prefix in IMAGE.prefixes]
    await api.tags.remove(call.context.project_id, names, None)
    return {"return": True}


async def create_image(api: Ec2Api, call: Call) -> Answer:
    """Copy an instance's disk to a new image, which is pending until it is there."""
    name = call.params.text("Name")
    description = call.params.text("Description", "")
    if len(name) > _LONGEST_NAME:
        raise invalid_value("Name", f"It has at most {_LONGEST_NAME} characters.")
    if len(description) > _LONGEST_DESCRIPTION:
        raise invalid_value("Description", f"It has at most {_LONGEST_DESCRIPTION} characters.")
    call.params.flag("NoReboot")
    tags = tags_asked(call.params, "image")
    instance = await one_alive(api, call, call.params.text("InstanceId"))
    more = {"description": description} if description else {}
    made = await api.server_actions.images.snapshot(call.context, instance.server.id, name, more)
    image_id = shown("ami", await api.ids.number(ec2_ids.IMAGE, made))
    if tags:
        await api.tags.set(call.context.project_id, [image_id], tags, MAX_TAGS)
    return {"imageId": image_id}


async def find(api: Ec2Api, call: Call, image_id: str, given: str) -> ImageFacts:
    """One image; raises InvalidAMIID.NotFound by the name that was `given`."""
    try:
        return await api.images.get(call.context, image_id)
    except (NotFound, Forbidden):
        raise IMAGE.missing([given]) from None


async def some_named(api: Ec2Api, call: Call, given: Sequence[str]) -> list[ImageFacts]:
    """The images by these ids, each once; raises InvalidAMIID.Malformed and .NotFound."""
    named = {file: one for one, file in (await resolve(api.ids, IMAGE, given)).items()}
    return [await find(api, call, file, one) for file, one in named.items()]


async def numbered(api: Ec2Api, images: Sequence[ImageFacts]) -> list[Machine]:
    """These images as EC2 knows them."""
    files = {file for image in images for file in (image.id, image.kernel_id, image.ramdisk_id)} - {"", "nokernel"}
    numbers = await api.ids.numbers(ec2_ids.IMAGE, files)

    def named(prefix: str, file: str) -> str:
        return shown(prefix, numbers[file]) if file in numbers else ""

    return [
        Machine(image, numbers[image.id], named("aki", image.kernel_id), named("ari", image.ramdisk_id))
        for image in images
    ]


def _is_owned(call: Call, image: Machine) -> bool:
    owners = [call.context.project_id if one == "self" else one for one in call.params.texts("Owner")]
    return not owners or image.facts.owner in owners


def _is_executable(call: Call, image: Machine) -> bool:
    """Whether it is given to somebody that ExecutableBy names: to all, or to the caller himself by somebody else."""
    users = call.params.texts("ExecutableBy")
    is_mine = image.facts.visibility == SHARED and image.facts.owner != call.context.project_id
    names_me = bool({"self", call.context.project_id} & {*users})
    return not users or ("all" in users and image.is_public) or (names_me and is_mine)


def _view(image: Machine) -> Mapping[str, Tree]:
    facts = image.facts
    return {
        "imageId": image.id,
        "imageLocation": image.said("image_location", facts.name),
        "imageState": image.state,
        "imageOwnerId": facts.owner,
        "creationDate": facts.created_at,
        "isPublic": image.is_public,
        "productCodes": [],
        "architecture": image.said("architecture", "x86_64"),
        "imageType": image.kind,
        "kernelId": image.kernel or None,
        "ramdiskId": image.ramdisk or None,
        "name": facts.name,
        "description": image.said("description") or None,
        "rootDeviceType": "instance-store",
        "rootDeviceName": "/dev/vda",
        "blockDeviceMapping": [],
        "virtualizationType": "hvm",
        "tagSet": tag_views(image.tags),
        "hypervisor": "kvm",
    }


def _not_yours(given: str) -> Ec2Error:
    return Ec2Error("AuthFailure", f"Not authorized for image:{given}")


ACTIONS: Final = (
    Action(
        "DescribeImages",
        describe_images,
        takes=(
            "ImageId",
            "Owner",
            "ExecutableBy",
            "Filter",
            "IncludeDeprecated",
            "IncludeDisabled",
            "MaxResults",
            "NextToken",
        ),
    ),
    Action("DeregisterImage", deregister_image, takes=("ImageId",)),
    Action("CreateImage", create_image, takes=("InstanceId", "Name", "Description", "NoReboot", "TagSpecification")),
)
