"""Images by their location: registered, and named anew.

The location of an image is where the image service has it: its id there, or the name that DescribeImages shows as its location. So an
image is uploaded to the image service first; registering it says what it is to EC2's clients and gives its id. There is no S3 here.
Sources: Amazon EC2 API Reference (RegisterImage), nova/api/ec2/cloud.py (register_image, update_image).
"""

from typing import Final

from novaflow.errors import Forbidden, NotFound
from novaflow.models import ImageFacts
from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import IMAGE, resolve
from services.api.ec2.images import find, numbered

_ARCHITECTURES: Final = ("i386", "x86_64", "arm64")
_LONGEST_NAME: Final = 128
_LONGEST_DESCRIPTION: Final = 255


async def register_image(api: Ec2Api, call: Call) -> Answer:
    """Say what an uploaded image of the project is; raises InvalidManifest when there is none at the location."""
    changes: dict[str, object] = {"name": _name(call), **_said(call)}
    if call.params.text("VirtualizationType", "hvm") != "hvm":
        raise invalid_value("VirtualizationType", "It is hvm.")
    location = call.params.text("ImageLocation")
    image = await _located(api, call, location)
    changes["image_location"] = location
    for parameter, name in (("KernelId", "kernel_id"), ("RamdiskId", "ramdisk_id")):
        if given := call.params.text(parameter, ""):
            file = (await resolve(api.ids, IMAGE, [given]))[given]
            changes[name] = (await find(api, call, file, given)).id
    await _change(api, call, image.id, location, changes)
    (registered,) = await numbered(api, [image])
    return {"imageId": registered.id}


async def update_image(api: Ec2Api, call: Call) -> Answer:
    """Nova's own: another name or description."""
    given = call.params.text("ImageId")
    image_id = (await resolve(api.ids, IMAGE, [given]))[given]
    await find(api, call, image_id, given)
    changes = _said(call) | ({"name": _name(call)} if "Name" in call.params else {})
    if changes:
        await _change(api, call, image_id, given, changes)
    return {"return": True}


async def _located(api: Ec2Api, call: Call, location: str) -> ImageFacts:
    mine = [one for one in await api.images.list(call.context) if one.owner == call.context.project_id]
    found = [one for one in mine if location in (one.id, one.properties.get("image_location", one.name))]
    if len(found) != 1:
        why = "no image" if not found else "more than one image"
        raise Ec2Error("InvalidManifest", f"The project has {why} at the location '{location[:255]}'")
    return found[0]


async def _change(api: Ec2Api, call: Call, image_id: str, given: str, changes: dict[str, object]) -> None:
    try:
        await api.images.change(call.context, image_id, changes)
    except (Forbidden, NotFound):
        raise Ec2Error("AuthFailure", f"Not authorized for image:{given[:255]}") from None


def _name(call: Call) -> str:
    name = call.params.text("Name")
    if len(name) > _LONGEST_NAME:
        raise invalid_value("Name", f"It has at most {_LONGEST_NAME} characters.")
    return name


def _said(call: Call) -> dict[str, object]:
    """What is said about the image, as the image service's properties."""
    found: dict[str, object] = {}
    if description := call.params.text("Description", ""):
        if len(description) > _LONGEST_DESCRIPTION:
            raise invalid_value("Description", f"It has at most {_LONGEST_DESCRIPTION} characters.")
        found["description"] = description
    if architecture := call.params.text("Architecture", ""):
        if architecture not in _ARCHITECTURES:
            raise invalid_value("Architecture", f"It is one of {', '.join(_ARCHITECTURES)}.")
        found["architecture"] = architecture
    return found


ACTIONS: Final = (
    Action(
        "RegisterImage",
        register_image,
        takes=(
            "Name",
            "ImageLocation",
            "Description",
            "Architecture",
            "KernelId",
            "RamdiskId",
            "VirtualizationType",
        ),
    ),
    Action("UpdateImage", update_image, takes=("ImageId", "Name", "Description", "Architecture")),
)
