"""The image service's other end: what nova-api and the compute hosts know of images, and how they get their bytes.

Every call is a span and carries the trace on. Deadlines are on the connection and on silence, not on the whole of a download, which
takes as long as its image is large.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec

from novaflow.errors import Forbidden, ImageRefused, NotFound, NovaflowError, ServiceUnavailable, Unauthorized
from novaflow.images.schema import BASE_PROPERTIES
from novaflow.models import ImageFacts
from rpc.tracing import Span, Tracer
from services.web import onward

CHUNK: Final = 2**20
_SERVICE: Final = "image"
_CONNECT: Final = 5.0  # seconds
_IDLE: Final = 30.0  # seconds without a byte
_SHOW: Final = 30.0  # seconds for a whole answer of metadata
_TRIES: Final = 2  # a kept connection may have been closed by the other side
_FAILURES: Final = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError


class ImageClient:
    """Reads from one image service, with the token of whoever the work is done for."""

    def __init__(self, http: aiohttp.ClientSession, url: str, tracer: Tracer) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._tracer = tracer

    async def show(self, image_id: str, token: str) -> ImageFacts:
        """The image's metadata. Raises NotFound, Unauthorized, Forbidden or ServiceUnavailable."""
        path = f"/v2/images/{quote(image_id, safe='')}"
        timeout = aiohttp.ClientTimeout(total=_SHOW, sock_connect=_CONNECT)
        with self._tracer.span("http.client", f"GET image {path}", attributes={"image_id": image_id}) as span:
            async with await self._get(path, token, timeout) as response:
                span.attributes["status"] = response.status
                _require(response.status, image_id)
                try:
                    document = await response.read()
                except _FAILURES as error:
                    raise _unavailable(error) from error
        return read_facts(document)

    @asynccontextmanager
    async def download(self, image_id: str, token: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The image's bytes in chunks of up to 1 MiB, all of them or an error: `async with client.download(...) as chunks`.

        Raises NotFound, Unauthorized, Forbidden, ServiceUnavailable, and ImageRefused for an image without data.
        """
        path = f"/v2/images/{quote(image_id, safe='')}/file"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_IDLE)
        with self._tracer.span("image", f"GET image {path}", attributes={"image_id": image_id, "bytes": 0}) as span:
            async with await self._get(path, token, timeout) as response:
                span.attributes["status"] = response.status
                _require(response.status, image_id)
                yield _counted(response.content, span)

    async def _get(self, path: str, token: str, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        headers = {"X-Auth-Token": token, "Accept": "application/json", "Accept-Encoding": "identity"} | onward()
        for left in reversed(range(_TRIES)):
            try:
                return await self._http.get(f"{self._url}{path}", headers=headers, timeout=timeout)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if not left:
                    raise _unavailable(error) from error
            except _FAILURES as error:
                raise _unavailable(error) from error
        raise AssertionError("unreachable: the last try returns or raises")


async def chunks(stream: aiohttp.StreamReader, idle: float) -> AsyncIterator[bytes]:
    """A body in chunks of 1 MiB, the last one shorter. Raises TimeoutError when nothing comes for `idle` seconds."""
    gathered = bytearray()
    while True:
        async with asyncio.timeout(idle):
            piece = await stream.read(CHUNK - len(gathered))
        gathered += piece
        if gathered and (not piece or len(gathered) == CHUNK):
            yield bytes(gathered)
            gathered.clear()
        if not piece:
            return


async def _counted(stream: aiohttp.StreamReader, span: Span) -> AsyncIterator[bytes]:
    received = 0
    try:
        async for chunk in chunks(stream, _IDLE):
            received += len(chunk)
            span.attributes["bytes"] = received
            yield chunk
    except _FAILURES as error:
        raise _unavailable(error) from error


def read_facts(document: bytes) -> ImageFacts:
    """Glance's JSON of an image. Raises ServiceUnavailable for anything else."""
    try:
        image = msgspec.json.decode(document, type=dict[str, Any])
        properties = {
            name: value for name, value in image.items() if name not in BASE_PROPERTIES and isinstance(value, str)
        }
        facts = {
            "id": image["id"],
            "name": image["name"] or "",
            "disk_format": image["disk_format"] or "",
            "container_format": image["container_format"] or "",
            "size_bytes": image["size"] or 0,
            "min_disk_gb": image["min_disk"],
            "min_ram_mb": image["min_ram"],
            "md5": image["checksum"] or "",
            "sha512": (image["os_hash_value"] or "") if image["os_hash_algo"] == "sha512" else "",
            "kernel_id": properties.get("kernel_id", ""),
            "ramdisk_id": properties.get("ramdisk_id", ""),
            "status": image["status"],
            "visibility": image["visibility"],
            "owner": image["owner"] or "",
            "properties": properties,
        }
        return msgspec.convert(facts, ImageFacts)
    except (msgspec.DecodeError, KeyError) as error:
        raise ServiceUnavailable(service=_SERVICE, reason="its answer is not an image") from error


def _require(status: int, image_id: str) -> None:
    """Raises what an answer other than 200 means."""
    refusals: dict[int, NovaflowError] = {
        HTTPStatus.UNAUTHORIZED: Unauthorized(),
        HTTPStatus.FORBIDDEN: Forbidden(rule="download_image"),
        HTTPStatus.NOT_FOUND: NotFound(kind="Image", key=image_id),
        HTTPStatus.NO_CONTENT: ImageRefused(image_id=image_id, reason="it has no data"),
    }
    if status in refusals:
        raise refusals[status]
    if status != HTTPStatus.OK:
        raise ServiceUnavailable(service=_SERVICE, reason=f"it answered {status}")


def _unavailable(error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(service=_SERVICE, reason=str(error) or type(error).__name__)
