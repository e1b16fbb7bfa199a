"""What every resource of the image API works with: the records, the store, who asks, and what was sent."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from novaflow.clock import Clock
from novaflow.db.images import Images
from novaflow.db.images_members import ImageMembers
from novaflow.errors import Invalid
from novaflow.images import access
from novaflow.images.errors import ImageNotFound
from novaflow.images.image import Image, Visibility
from novaflow.images.store import FileStore
from novaflow.images.upload import Uploads
from novaflow.models import Context
from services.image.faults import Fault
from services.web import CONTEXT

_BODY_SECONDS: Final = 60.0
_IMAGE_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, kw_only=True)
class ImageApi:
    """The parts of the service that its handlers use."""

    images: Images
    members: ImageMembers
    uploads: Uploads
    store: FileStore
    clock: Clock
    new_id: Callable[[], str]
    max_bytes: int


def context(request: web.Request) -> Context:
    """Who asks."""
    asking: Context = request[CONTEXT]
    return asking


async def json_body(request: web.Request) -> object:
    """The decoded body: a JSON object or array. Raises Invalid, and a 408 when it takes too long to come."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            raw = await request.read()
    except TimeoutError as error:
        raise Fault(HTTPStatus.REQUEST_TIMEOUT) from error
    if not raw:
        raise Invalid(reason="Body expected in request.")
    try:
        document: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid(reason="Malformed JSON in request body.") from None
    if not isinstance(document, dict | list):
        raise Invalid(reason="Unexpected body type. Expected list/dict.")
    return document


def refuse_body(request: web.Request) -> None:
    """Raises Invalid for a body where none makes sense."""
    if request.can_read_body:
        raise Invalid(reason="A body is not expected with this request.")


async def seen_image(api: ImageApi, request: web.Request, *, missing: str = "") -> Image:
    """The image in the url. Raises a 404, in the words of `missing` if given, when the caller may not see it."""
    image_id = request.match_info["image_id"]
    try:
        return await _seen(api, context(request), image_id)
    except ImageNotFound as error:
        if not missing:
            raise
        raise Fault(HTTPStatus.NOT_FOUND, missing.format(image_id)) from error


async def _seen(api: ImageApi, asking: Context, image_id: str) -> Image:
    if not _IMAGE_ID.fullmatch(image_id):
        raise ImageNotFound(key=image_id)
    image = await api.images.get(image_id.lower())
    is_member = False
    if image.visibility is Visibility.SHARED and not access.sees(asking, image, is_member=False):
        is_member = await api.members.find(image.id, asking.project_id) is not None
    access.require_seen(asking, image, is_member=is_member)
    return image
