"""The image service's other end: what nova-api and the compute hosts know of images, and how their bytes come and go.

Every call is a span and carries the trace on. Deadlines are on the connection and on silence, not on the whole of a transfer, which
takes as long as its image is large.
"""

import asyncio
import builtins
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from novaflow.errors import (
    Conflict,
    Forbidden,
    ImageRefused,
    Invalid,
    LimitExceeded,
    NotFound,
    NovaflowError,
    ServiceUnavailable,
    Unauthorized,
)
from novaflow.images.schema import BASE_PROPERTIES
from novaflow.models import ImageFacts, NewImage
from rpc.tracing import Span, Tracer
from services.outgoing import CHUNK, outgoing
from services.web import onward

_SERVICE: Final = "image"
_CONNECT: Final = 5.0  # seconds
_IDLE: Final = 30.0  # seconds without a byte
_SHOW: Final = 30.0  # seconds for a whole answer of metadata
_PAGE: Final = 100  # images of a list
_REASON: Final = 200  # characters of a refusal
_TRIES: Final = 2  # a kept connection may have been closed by the other side
_REFUSED_DATA: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.INSUFFICIENT_STORAGE,
)
_PATCH: Final = "application/openstack-images-v2.1-json-patch"
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_FAILURES: Final = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError


class ImageClient:
    """Speaks to one image service, with the token of whoever the work is done for."""

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

    async def list(self, filters: Mapping[str, str], token: str) -> builtins.list[ImageFacts]:
        """The images whose properties are these, the newest first. Raises Unauthorized, Forbidden or ServiceUnavailable."""
        timeout = aiohttp.ClientTimeout(total=_SHOW, sock_connect=_CONNECT)
        asked = {**filters, "limit": str(_PAGE), "sort": "created_at:desc"}
        path = f"/v2/images?{urlencode(asked)}"
        found: builtins.list[msgspec.Raw] = []
        with self._tracer.span("http.client", "GET images", attributes={"filters": dict(filters)}) as span:
            while path:
                async with await self._get(path, token, timeout) as response:
                    span.attributes["status"] = response.status
                    _require(response.status, "", "get_images")
                    try:
                        page = _read_page(await response.read())
                    except _FAILURES as error:
                        raise _unavailable(error) from error
                found += page.images
                path = page.next
        return [read_facts(bytes(image)) for image in found]

    async def delete(self, image_id: str, token: str) -> None:
        """Remove the image and its data. Raises NotFound, Unauthorized, Forbidden, Conflict or ServiceUnavailable."""
        path = f"/v2/images/{quote(image_id, safe='')}"
        timeout = aiohttp.ClientTimeout(total=_SHOW, sock_connect=_CONNECT)
        with self._tracer.span("http.client", f"DELETE image {path}", attributes={"image_id": image_id}) as span:
            try:
                async with self._http.delete(self._url + path, headers=_headers(token), timeout=timeout) as response:
                    span.attributes["status"] = response.status
                    _require(response.status, image_id, "delete_image")
            except _FAILURES as error:
                raise _unavailable(error) from error

    async def upload(self, image_id: str, file: Path, token: str) -> None:
        """Send the file as the data of a queued image; returns when the image is active and whole.

        Not tried twice: the connection may have ended in the middle of it. Raises NotFound, Unauthorized, Forbidden, Conflict for an
        image that is not queued, ImageRefused for data that the service does not take or that arrived as something else,
        ServiceUnavailable, and OSError when the file cannot be read.
        """
        path = f"/v2/images/{quote(image_id, safe='')}/file"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT)
        with self._tracer.span("image", f"PUT image {path}", attributes={"image_id": image_id}) as span:
            async with outgoing(file) as body:
                headers = _headers(token) | _OCTETS | {"Content-Length": str(body.size)}
                try:
                    async with (
                        body.sending() as sent,
                        self._http.put(self._url + path, headers=headers, data=sent, timeout=timeout) as response,
                    ):
                        span.attributes |= {"status": response.status, "bytes": body.sent_bytes}
                        await _require_stored(response, image_id)
                except _FAILURES as error:
                    raise _unavailable(error) from error
        stored = await self.show(image_id, token)
        if stored.md5 != body.md5:
            raise ImageRefused(image_id=image_id, reason=f"it arrived with checksum {stored.md5}, not {body.md5}")

    async def create(self, image: NewImage, token: str) -> str:
        """A new image without data; gives its id.

        Raises Invalid for properties that cannot be, Unauthorized, Forbidden, Conflict, LimitExceeded or ServiceUnavailable.
        """
        # What is no property goes over a property of the same name, so that nobody makes his snapshot public by its metadata.
        record = image.properties | {
            "name": image.name,
            "disk_format": image.disk_format,
            "container_format": image.container_format,
            "visibility": image.visibility,
            "min_disk": image.min_disk_gb,
            "min_ram": image.min_ram_mb,
        }
        timeout = aiohttp.ClientTimeout(total=_SHOW, sock_connect=_CONNECT)
        headers = _headers(token) | {"Content-Type": "application/json"}
        with self._tracer.span("http.client", "POST image /v2/images") as span:
            try:
                async with self._http.post(
                    f"{self._url}/v2/images", data=msgspec.json.encode(record), headers=headers, timeout=timeout
                ) as response:
                    span.attributes["status"] = response.status
                    if response.status != HTTPStatus.CREATED:
                        raise await _refused_record(response)
                    return read_facts(await response.read()).id
            except _FAILURES as error:
                raise _unavailable(error) from error

    async def update(self, image_id: str, changes: Mapping[str, object], token: str) -> None:
        """Change an image's properties; those that it has not got yet are added. Raises Invalid, and as `delete`."""
        steps = [{"op": "add", "path": f"/{name}", "value": value} for name, value in changes.items()]
        await self._change("PATCH", image_id, "", steps, token, _PATCH)

    async def members(self, image_id: str, token: str) -> builtins.list[str]:
        """The projects that an image is shared with. Raises as `show`."""
        path = f"/v2/images/{quote(image_id, safe='')}/members"
        timeout = aiohttp.ClientTimeout(total=_SHOW, sock_connect=_CONNECT)
        with self._tracer.span("http.client", f"GET image {path}", attributes={"image_id": image_id}) as span:
            async with await self._get(path, token, timeout) as response:
                span.attributes["status"] = response.status
                _require(response.status, image_id, "get_members")
                try:
                    return [member.member_id for member in _read_members(await response.read())]
                except _FAILURES as error:
                    raise _unavailable(error) from error

    async def share(self, image_id: str, project_id: str, token: str) -> None:
        """Let a project see a shared image. One that does already is a Conflict; raises as `delete` besides."""
        await self._change("POST", image_id, "/members", {"member": project_id}, token)

    async def unshare(self, image_id: str, project_id: str, token: str) -> None:
        """Let it see the image no more. Raises as `delete`."""
        await self._change("DELETE", image_id, f"/members/{quote(project_id, safe='')}", None, token)

    async def _change(
        self, method: str, image_id: str, below: str, body: object, token: str, kind: str = "application/json"
    ) -> None:
        """One change of an image, or of what is `below` it."""
        path = f"/v2/images/{quote(image_id, safe='')}{below}"
        timeout = aiohttp.ClientTimeout(total=_SHOW, sock_connect=_CONNECT)
        data = None if body is None else msgspec.json.encode(body)
        headers = _headers(token) | ({} if body is None else {"Content-Type": kind})
        with self._tracer.span("http.client", f"{method} image {path}", attributes={"image_id": image_id}) as span:
            try:
                async with self._http.request(
                    method, self._url + path, data=data, headers=headers, timeout=timeout
                ) as response:
                    span.attributes["status"] = response.status
                    if response.status == HTTPStatus.BAD_REQUEST:
                        raise Invalid(reason=await _message(response))
                    _require(response.status, image_id, "modify_image")
            except _FAILURES as error:
                raise _unavailable(error) from error

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
        for left in reversed(range(_TRIES)):
            try:
                return await self._http.get(f"{self._url}{path}", headers=_headers(token), timeout=timeout)
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
            "created_at": image["created_at"],
            "properties": properties,
        }
        return msgspec.convert(facts, ImageFacts)
    except (msgspec.DecodeError, KeyError) as error:
        raise ServiceUnavailable(service=_SERVICE, reason="its answer is not an image") from error


class _Page(msgspec.Struct, frozen=True):
    """What is used of Glance's JSON of a list."""

    images: list[msgspec.Raw]
    next: str = ""


class _Member(msgspec.Struct, frozen=True):
    """What is used of Glance's JSON of a member."""

    member_id: str


class _Members(msgspec.Struct, frozen=True):
    """And of a list of them."""

    members: list[_Member]


class _Refusal(msgspec.Struct, frozen=True):
    """What is used of Glance's JSON of a refusal."""

    message: str


def _read_page(document: bytes) -> _Page:
    try:
        return msgspec.json.decode(document, type=_Page)
    except msgspec.DecodeError as error:
        raise ServiceUnavailable(service=_SERVICE, reason="its answer is not a list of images") from error


def _read_members(document: bytes) -> list[_Member]:
    try:
        return msgspec.json.decode(document, type=_Members).members
    except msgspec.DecodeError as error:
        raise ServiceUnavailable(service=_SERVICE, reason="its answer is not a list of members") from error


def _headers(token: str) -> dict[str, str]:
    return {"X-Auth-Token": token, "Accept": "application/json", "Accept-Encoding": "identity"} | onward()


def _require(status: int, image_id: str, rule: str = "download_image") -> None:
    """Raises what an answer other than 200 means, or than 204 where `rule` is not about reading."""
    refusals: dict[int, NovaflowError] = {
        HTTPStatus.UNAUTHORIZED: Unauthorized(),
        HTTPStatus.FORBIDDEN: Forbidden(rule=rule),
        HTTPStatus.NOT_FOUND: NotFound(kind="Image", key=image_id),
        HTTPStatus.CONFLICT: Conflict(reason=f"Image {image_id} is in no state for {rule}"),
    }
    if rule == "download_image":
        refusals[HTTPStatus.NO_CONTENT] = ImageRefused(image_id=image_id, reason="it has no data")
    if status in refusals:
        raise refusals[status]
    if status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
        raise ServiceUnavailable(service=_SERVICE, reason=f"it answered {status}")


async def _require_stored(response: aiohttp.ClientResponse, image_id: str) -> None:
    """The same of an upload, which the service may refuse for what it is."""
    if response.status in _REFUSED_DATA:
        raise ImageRefused(image_id=image_id, reason=await _message(response))
    if response.status == HTTPStatus.GONE:
        raise NotFound(kind="Image", key=image_id)
    _require(response.status, image_id, "upload_image")


async def _refused_record(response: aiohttp.ClientResponse) -> NovaflowError:
    """Why an image is not made."""
    refusals: dict[int, NovaflowError] = {
        HTTPStatus.BAD_REQUEST: Invalid(reason=await _message(response)),
        HTTPStatus.UNAUTHORIZED: Unauthorized(),
        HTTPStatus.FORBIDDEN: Forbidden(rule="add_image"),
        HTTPStatus.CONFLICT: Conflict(reason=await _message(response)),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: LimitExceeded(reason=await _message(response)),
    }
    outage = ServiceUnavailable(service=_SERVICE, reason=f"it answered {response.status}")
    return refusals.get(response.status, outage)


async def _message(response: aiohttp.ClientResponse) -> str:
    """Why, in one line: Glance's JSON holds a sentence with markup around it."""
    text = await response.text(errors="replace")
    with suppress(msgspec.DecodeError):  # somebody else's answer is told as it is
        text = msgspec.json.decode(text, type=_Refusal).message
    return " ".join(text.replace("<br />", " ").split())[:_REASON]


def _unavailable(error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(service=_SERVICE, reason=str(error) or type(error).__name__)
