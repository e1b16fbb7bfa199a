"""What an image service refuses, in Glance's words.

These are answers of the image API and never cross the bus; where a general error of novaflow.errors says the same, it is the
parent, so that callers need to know only that one.
"""

from dataclasses import dataclass
from http import HTTPStatus

from novaflow.errors import Forbidden, NotFound, NovaflowError


@dataclass(eq=False, kw_only=True)
class ImageNotFound(NotFound):
    """No such image, or none that the caller may see."""

    text = "No image found with ID {key}"

    kind: str = "Image"


@dataclass(eq=False, kw_only=True)
class NotPermitted(Forbidden):
    """The caller sees the image and may not do this with it; `reason` is the sentence the client reads."""

    text = "{reason}"

    rule: str = "modify_image"
    reason: str


@dataclass(eq=False, kw_only=True)
class LimitReached(NovaflowError):
    """An image has as many properties, tags or members as it may have."""

    code = "image_limit_reached"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    text = (
        "The limit has been exceeded on the number of allowed image {what}. Attempted: {attempted}, Maximum: {maximum}"
    )

    what: str
    attempted: int
    maximum: int


@dataclass(eq=False, kw_only=True)
class StoreFull(NovaflowError):
    """The disk under the image store has no room for the upload."""

    code = "image_store_full"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    text = "Image storage media is full: {reason}"

    reason: str


@dataclass(eq=False, kw_only=True)
class ImageGone(NovaflowError):
    """The image was deleted while its data was still coming in."""

    code = "image_gone"
    status = HTTPStatus.GONE
    text = (
        "Image {image_id} could not be found after upload. The image may have been deleted during the upload, "
        "cleaning up the chunks uploaded."
    )

    image_id: str
