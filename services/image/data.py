"""The bytes of an image, in and out, never more than a chunk of them in memory."""

import asyncio
import re
from http import HTTPStatus
from typing import Final

from aiohttp import web

from novaflow.errors import Invalid, TooLarge
from novaflow.images import access
from novaflow.images.image import Image, Status
from services.clients import chunks
from services.image.faults import Fault
from services.image.frame import ImageApi, context, refuse_body, seen_image
from services.outgoing import CHUNK

_IDLE: Final = 60.0  # seconds a client may send nothing
_OCTETS: Final = "application/octet-stream"
_RANGE: Final = re.compile(r"bytes=(?:\d+-\d*|-\d+)")
_HAS_DATA: Final = (Status.ACTIVE, Status.DEACTIVATED)


def routes(api: ImageApi) -> list[web.RouteDef]:
    """The urls of this resource."""
    resource = DataResource(api)
    return [
        web.get("/images/{image_id}/file", resource.download, allow_head=False),
        web.put("/images/{image_id}/file", resource.upload),
    ]


class DataResource:
    """Handlers of /v2/images/{id}/file."""

    def __init__(self, api: ImageApi) -> None:
        self._api = api

    async def upload(self, request: web.Request) -> web.Response:
        """Take the data of a queued image."""
        if "Content-Type" not in request.headers or request.content_type != _OCTETS:
            sent = request.headers.get("Content-Type")
            raise Fault(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Invalid content type {sent}")
        declared = _declared_size(request)
        if declared is not None and declared > self._api.max_bytes:
            raise TooLarge(what="The incoming image", limit=self._api.max_bytes)
        image = await seen_image(self._api, request)
        access.require_owner(context(request), image, "upload_image")
        try:
            await self._api.uploads.take(image, chunks(request.content, _IDLE), declared)
        except TimeoutError as error:
            raise Fault(HTTPStatus.REQUEST_TIMEOUT) from error
        except (ConnectionError, web.RequestPayloadError) as error:  # the client's end, of which it needs no telling
            raise Fault(HTTPStatus.BAD_REQUEST, "The data ended before it was whole.") from error
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send the data, or nothing with 204 when there is none yet."""
        refuse_body(request)
        image = await seen_image(self._api, request)
        access.require_data(context(request), image)
        path = self._api.store.path(image.id)
        if image.status not in _HAS_DATA or not await asyncio.to_thread(path.exists):
            return web.Response(status=HTTPStatus.NO_CONTENT)
        _require_range(request, image)
        return web.FileResponse(
            path,
            chunk_size=CHUNK,
            headers={"Content-Type": _OCTETS, "Content-MD5": image.checksum or ""},
        )


def _declared_size(request: web.Request) -> int | None:
    """What the client says the size is; a chunked upload need not."""
    text = request.headers.get("x-openstack-image-size")
    if text is None:
        return request.content_length
    if not text.isascii() or not text.isdigit():
        raise Invalid(reason="Invalid or missing image size in request headers.")
    return int(text)


def _require_range(request: web.Request, image: Image) -> None:
    """Glance's answers to ranges it does not serve: several at once, malformed, or behind the end."""
    text = request.headers.get("Range")
    if text is None:
        return
    if "," in text:
        raise Invalid(
            reason="Requests with multiple ranges are not supported in Glance. "
            "You may make multiple single-range requests instead."
        )
    start = text.removeprefix("bytes=").partition("-")[0]
    if not _RANGE.fullmatch(text) or (start and int(start) >= (image.size or 0)):
        raise Fault(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "Invalid Range header.")
