"""Files of guests that move, offered to their new host over HTTP: the source's end.

Each move has an offer of its own, with a key that nobody else has and that dies with the offer: when it is withdrawn, when it is made
anew, or after `compute.transfer_timeout` seconds. Only the files of the offer are given, by name:

GET    /transfers/<offer>            their names and sizes, as JSON
GET    /transfers/<offer>/<name>     the bytes of one, and after them the SHA-256 of what was sent
DELETE /transfers/<offer>            they have come

Whatever is wrong with a request, the answer is 404: who has no key learns nothing.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from novaflow.clock import Clock
from novaflow.config import Compute
from novaflow.models import Value
from novaflow.virt.driver import GuestFile
from services.files import opened
from services.web import json_response, serving

KEY_HEADER: Final = "X-Transfer-Key"
DIGEST_BYTES: Final = hashlib.sha256().digest_size
CHUNK: Final = 2**20
IDLE: Final = 30.0  # seconds without a byte, on either side
_KEY_BYTES: Final = 32
log = logging.getLogger(__name__)


class OfferedFile(Value, frozen=True, kw_only=True):
    """One file as it is announced."""

    name: str
    size: int


class Manifest(Value, frozen=True, kw_only=True):
    """All files of an offer."""

    files: tuple[OfferedFile, ...]


@dataclass(frozen=True)
class _Offer:
    host: str
    server_id: str
    key: str
    files: dict[str, Path]
    ends_at: float


class Offers:
    """What the hosts of this process offer."""

    def __init__(self, settings: Compute, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._offers: dict[str, _Offer] = {}
        self._url = ""

    def make(self, host: str, server_id: str, files: Sequence[GuestFile]) -> tuple[str, str]:
        """Offer the files of one guest; gives the URL and the key. An earlier offer of the same guest is over."""
        self.withdraw(host, server_id)
        number, key = secrets.token_hex(16), secrets.token_urlsafe(_KEY_BYTES)
        ends_at = self._clock.monotonic() + self._settings.transfer_timeout
        self._offers[number] = _Offer(host, server_id, key, {file.name: Path(file.path) for file in files}, ends_at)
        return f"{self._url}/transfers/{number}", key

    def withdraw(self, host: str, server_id: str) -> None:
        """Offer the files of this guest no more, and forget offers whose time is over."""
        now = self._clock.monotonic()
        self._offers = {
            number: offer
            for number, offer in self._offers.items()
            if (offer.host, offer.server_id) != (host, server_id) and offer.ends_at > now
        }

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Listen while the block runs. Raises PortTaken."""
        app = web.Application()
        app.router.add_get("/transfers/{offer}", self._list)
        app.router.add_get("/transfers/{offer}/{name}", self._give)
        app.router.add_delete("/transfers/{offer}", self._end)
        settings = self._settings
        async with serving(app, settings.transfer_host, settings.transfer_port) as port:
            self._url = f"http://{settings.my_ip}:{port}"
            yield

    async def _list(self, request: web.Request) -> web.Response:
        offer = self._known(request)
        sizes = await asyncio.to_thread(_sizes, offer.files)
        return json_response(Manifest(files=tuple(OfferedFile(name=name, size=sizes[name]) for name in offer.files)))

    async def _give(self, request: web.Request) -> web.StreamResponse:
        path = self._known(request).files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        size = (await asyncio.to_thread(_sizes, {path.name: path}))[path.name]
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        response.content_length = size + DIGEST_BYTES
        try:
            async with opened(path, "rb") as stream:
                async with asyncio.timeout(IDLE):
                    await response.prepare(request)
                await _pour(stream, size, response)
        except ConnectionResetError:
            log.info("host %s has gone away while a file was sent to it", request.remote)
        return response

    async def _end(self, request: web.Request) -> web.Response:
        offer = self._known(request)
        self.withdraw(offer.host, offer.server_id)
        return web.Response(status=204)

    def _known(self, request: web.Request) -> _Offer:
        """The offer that a request is about; raises HTTPNotFound for one without its key, too."""
        offer = self._offers.get(request.match_info["offer"])
        shown = request.headers.get(KEY_HEADER, "")
        if offer is None or not hmac.compare_digest(shown.encode(errors="surrogateescape"), offer.key.encode()):
            raise web.HTTPNotFound
        if offer.ends_at <= self._clock.monotonic():
            raise web.HTTPNotFound
        return offer


async def _pour(stream: BinaryIO, size: int, response: web.StreamResponse) -> None:
    """Send `size` bytes and their digest. A file that has become shorter ends the connection, and the other side sees it."""
    digest = hashlib.sha256()
    left = size
    while left:
        piece = await asyncio.to_thread(stream.read, min(CHUNK, left))
        if not piece:
            raise ConnectionAbortedError("a file of a parked guest has become shorter")
        digest.update(piece)
        async with asyncio.timeout(IDLE):
            await response.write(piece)
        left -= len(piece)
    async with asyncio.timeout(IDLE):
        await response.write(digest.digest())
        await response.write_eof()


def _sizes(files: dict[str, Path]) -> dict[str, int]:
    """Raises HTTPNotFound when the guest was put back or forgotten meanwhile."""
    try:
        return {name: path.stat().st_size for name, path in files.items()}
    except FileNotFoundError:
        raise web.HTTPNotFound from None
