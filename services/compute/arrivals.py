"""Files of guests that move, fetched from their old host: the destination's end of services.compute.transfer.

<directory>/<host>/<server id>/    what has come for one guest, until it is made of it

Memory is constant, silence and the whole have deadlines, and every file is checked against the digest that follows it. A source that
goes away in the middle is not a failure of the move: it will offer again, under a new key, when its order comes again.
"""

import asyncio
import hashlib
import re
import shutil
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp
import msgspec

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.messages import DiskTransfer
from novaflow.virt.driver import GuestFile
from rpc.errors import Away
from services.clients import chunks
from services.compute.transfer import DIGEST_BYTES, IDLE, KEY_HEADER, Manifest, OfferedFile
from services.files import opened

_CONNECT: Final = 5.0  # seconds
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_MOST_FILES: Final = 16
_MANIFEST_BYTES: Final = 65536
_OPERATION: Final = "transfer"


class SourceAway(Away):
    """The old host does not answer, or stopped in the middle."""


class OfferOver(Exception):
    """The old host does not know this offer any more: it has made another one, or will."""


class Arrivals:
    """Where files arrive for one host."""

    def __init__(self, http: aiohttp.ClientSession, directory: Path, settings: Compute) -> None:
        self._http = http
        self._directory = directory
        self._settings = settings

    async def fetch(self, order: DiskTransfer) -> list[GuestFile]:
        """All files of an offer. Raises SourceAway, OfferOver, GuestFailed for files that are not what they should be."""
        home = self._directory / order.server_id
        await self.remove(order.server_id)
        await asyncio.to_thread(home.mkdir, parents=True)
        try:
            async with asyncio.timeout(self._settings.transfer_timeout):
                return await self._fetch_into(home, order)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise SourceAway(f"{order!r}: {str(error) or type(error).__name__}") from error
        except OSError as error:
            raise _failed(order, f"its files cannot be kept here: {error.strerror or error}") from error

    async def finish(self, order: DiskTransfer) -> None:
        """Tell the old host that its offer is over. That nobody hears it does no harm: an offer ends by itself."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._http.delete(order.url, headers=_key(order), timeout=_timeout()):
                pass

    async def remove(self, server_id: str) -> None:
        """Remove what has come for a guest; fine when nothing has."""
        await asyncio.to_thread(shutil.rmtree, self._directory / server_id, ignore_errors=True)

    async def clear(self) -> None:
        """Remove whatever an earlier process has left: nobody works on it, and it is sent again."""
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _fetch_into(self, home: Path, order: DiskTransfer) -> list[GuestFile]:
        manifest = await self._manifest(order)
        wanted = sum(file.size for file in manifest.files)
        if wanted > (await asyncio.to_thread(shutil.disk_usage, home)).free:
            raise _failed(order, f"there is no room here for its {wanted} bytes")
        return [await self._file(home, order, file) for file in manifest.files]

    async def _manifest(self, order: DiskTransfer) -> Manifest:
        async with self._http.get(order.url, headers=_key(order), timeout=_timeout()) as response:
            _require(response)
            body = await response.content.read(_MANIFEST_BYTES)
        try:
            manifest = msgspec.json.decode(body, type=Manifest)
        except msgspec.MsgspecError as error:
            raise _failed(order, "its old host does not say what its files are") from error
        names = [file.name for file in manifest.files]
        is_plain = all(_NAME.fullmatch(name) for name in names) and all(file.size >= 0 for file in manifest.files)
        if not is_plain or len(set(names)) != len(names) or len(names) > _MOST_FILES:
            raise _failed(order, "its old host names files that are none of a guest")
        return manifest

    async def _file(self, home: Path, order: DiskTransfer, file: OfferedFile) -> GuestFile:
        path = home / file.name
        async with self._http.get(f"{order.url}/{file.name}", headers=_key(order), timeout=_timeout()) as response:
            _require(response)
            async with opened(path, "wb") as stream:
                told, found = await _keep(response.content, stream, file.size)
        if told != found:
            raise _failed(order, f"its {file.name} is not what its old host has sent")
        return GuestFile(name=file.name, path=str(path))


async def _keep(source: aiohttp.StreamReader, stream: BinaryIO, size: int) -> tuple[bytes, bytes]:
    """Write `size` bytes; the digest that was told after them, and the one that was found."""
    digest = hashlib.sha256()
    left, told = size, b""
    async for piece in chunks(source, IDLE):
        content = piece[:left]
        told += piece[left:]
        left -= len(content)
        digest.update(content)
        await asyncio.to_thread(stream.write, content)
    if left or len(told) != DIGEST_BYTES:
        raise ConnectionError("the file ended early")
    return told, digest.digest()


def _require(response: aiohttp.ClientResponse) -> None:
    if response.status == HTTPStatus.NOT_FOUND:
        raise OfferOver
    if response.status != HTTPStatus.OK:
        raise ConnectionError(f"it answered {response.status}")


def _key(order: DiskTransfer) -> dict[str, str]:
    return {KEY_HEADER: order.key}


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=IDLE)


def _failed(order: DiskTransfer, reason: str) -> GuestFailed:
    return GuestFailed(operation=_OPERATION, server_id=order.server_id, reason=reason)
