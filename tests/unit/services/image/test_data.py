"""Image data over HTTP: whole or not at all, in constant memory."""

import asyncio
import hashlib
import io
import resource
from collections.abc import AsyncIterator

import pytest

from tests.support import disks
from tests.support.image_service import ALICE, BOB, ImageService

OCTETS = "application/octet-stream"
MIB = 2**20


async def pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 65536):
        yield b"\x07" * 65536


async def test_what_was_uploaded_is_downloaded_with_its_digests(service: ImageService) -> None:
    data = bytes(range(256)) * 20_000
    image_id = await service.create()

    assert await service.upload(image_id, io.BytesIO(data)) == (204, b"")

    image = await service.show(image_id)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), len(data))
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    headers = {"X-Auth-Token": ALICE}
    async with service.http.get(f"{service.url}/v2/images/{image_id}/file", headers=headers) as response:
        assert await response.read() == data
        assert response.status == 200
        assert response.headers["Content-MD5"] == image["checksum"]
        assert response.headers["Content-Length"] == str(len(data))
        assert response.headers["Content-Type"] == OCTETS
    assert service.files() == [image_id]


async def test_an_upload_need_not_say_how_long_it_is(service: ImageService) -> None:
    image_id = await service.create()

    assert await service.upload(image_id, pieces(5 * MIB)) == (204, b"")

    assert (await service.show(image_id))["size"] == 5 * MIB


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-4", 206, 0, 4),
        ("bytes=995-", 206, 995, 999),
        ("bytes=-3", 206, 997, 999),
        ("bytes=990-9999", 206, 990, 999),
    ],
)
async def test_a_part_can_be_downloaded(service: ImageService, asked: str, status: int, first: int, last: int) -> None:
    data = bytes(number % 251 for number in range(1000))
    image_id = await service.create()
    await service.upload(image_id, data)
    headers = {"X-Auth-Token": ALICE, "Range": asked}

    async with service.http.get(f"{service.url}/v2/images/{image_id}/file", headers=headers) as response:
        assert response.status == status
        assert await response.read() == data[first : last + 1]
        assert response.headers["Content-Range"] == f"bytes {first}-{last}/1000"


@pytest.mark.parametrize(
    ("asked", "status"), [("bytes=0-1,3-4", 400), ("bytes=1000-", 416), ("bytes=x-", 416), ("lines=1-2", 416)]
)
async def test_a_part_that_is_not_served_is_refused(service: ImageService, asked: str, status: int) -> None:
    image_id = await service.create()
    await service.upload(image_id, b"x" * 1000)

    assert (await service.ask("GET", f"/v2/images/{image_id}/file", headers={"Range": asked}))[0] == status


async def test_an_image_without_data_has_no_content(service: ImageService) -> None:
    image_id = await service.create()

    assert await service.ask("GET", f"/v2/images/{image_id}/file") == (204, b"")


async def test_an_image_whose_file_is_lost_has_no_content(service: ImageService) -> None:
    image_id = await service.create()
    await service.upload(image_id, b"abc")
    service.api.store.delete(image_id)

    assert await service.ask("GET", f"/v2/images/{image_id}/file") == (204, b"")


async def test_who_does_not_see_the_image_does_not_see_its_data(service: ImageService) -> None:
    image_id = await service.create()
    await service.upload(image_id, b"abc")

    assert (await service.ask("GET", f"/v2/images/{image_id}/file", BOB))[0] == 404


@pytest.mark.parametrize(
    ("disk_format", "data", "reason"),
    [
        ("qcow2", b"x" * 1000, "Image disk_format qcow2 does not match stream data raw"),
        ("raw", disks.qcow2(), "Image disk_format raw does not match stream data qcow2"),
        ("qcow2", disks.qcow2(backing_offset=1), "it has a backing file"),
        ("qcow2", disks.qcow2(features=4), "external data file"),
        ("vmdk", disks.TEXT_VMDK.encode(), "names other files"),
        ("raw", disks.TEXT_VMDK.encode(), "names other files"),
    ],
)
async def test_refused_data_is_415_says_why_and_leaves_nothing(
    service: ImageService, disk_format: str, data: bytes, reason: str
) -> None:
    image_id = await service.create(disk_format=disk_format)

    status, body = await service.upload(image_id, data)

    assert status == 415
    assert reason in body["message"]
    image = await service.show(image_id)
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    assert service.files() == []


async def test_an_image_is_uploaded_once(service: ImageService) -> None:
    image_id = await service.create()
    await service.upload(image_id, b"abc")

    status, body = await service.upload(image_id, b"def")

    assert status == 409
    assert "Image status transition from active to saving is not allowed" in body["message"]
    assert (await service.ask("GET", f"/v2/images/{image_id}/file"))[1] == b"abc"


async def test_of_many_uploads_at_once_one_wins(service: ImageService) -> None:
    image_id = await service.create()
    contents = [bytes([65 + number]) * MIB for number in range(6)]

    answers = await asyncio.gather(*(service.upload(image_id, content) for content in contents))

    statuses = [status for status, _ in answers]
    assert sorted(statuses) == [204] + [409] * 5
    assert (await service.ask("GET", f"/v2/images/{image_id}/file"))[1] == contents[statuses.index(204)]
    assert service.files() == [image_id]


@pytest.mark.parametrize("is_declared", [True, False])
async def test_more_than_the_limit_is_413_and_leaves_nothing(service: ImageService, is_declared: bool) -> None:
    image_id = await service.create()

    status, _ = await service.upload(image_id, io.BytesIO(b"x" * (9 * MIB)) if is_declared else pieces(9 * MIB))

    assert status == 413
    assert (await service.show(image_id))["status"] == "queued"
    assert service.files() == []


@pytest.mark.parametrize("size", ["4", "99"])
async def test_a_size_that_is_not_so_is_refused(service: ImageService, size: str) -> None:
    image_id = await service.create()

    status, body = await service.upload(image_id, pieces(65536), **{"X-OpenStack-Image-Size": size})

    assert status == 400
    assert f"not the {size} declared" in body["message"]
    assert service.files() == []


@pytest.mark.parametrize("size", ["many", "-1", "\u0664"])
async def test_a_size_must_be_a_number(service: ImageService, size: str) -> None:
    image_id = await service.create()

    status, body = await service.upload(image_id, b"abc", **{"X-OpenStack-Image-Size": size})

    assert (status, "Invalid or missing image size" in body["message"]) == (400, True)


@pytest.mark.parametrize("media", ["text/plain", "application/json"])
async def test_data_is_an_octet_stream(service: ImageService, media: str) -> None:
    image_id = await service.create()

    status, body = await service.upload(image_id, b"abc", **{"Content-Type": media})

    assert status == 415
    assert "Invalid content type" in body["message"]


async def test_an_image_without_formats_takes_no_data(service: ImageService) -> None:
    image_id = await service.create(disk_format=None)

    status, body = await service.upload(image_id, b"abc")

    assert status == 400
    assert "Property disk_format must be set prior to saving data." in body["message"]


async def test_a_client_that_vanishes_leaves_no_image_no_file_and_no_error_of_ours(
    service: ImageService, caplog: pytest.LogCaptureFixture
) -> None:
    image_id = await service.create()
    host, port = service.url.removeprefix("http://").split(":")
    for framing in (b"Content-Length: 1000000", b"Transfer-Encoding: chunked"):
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: {host}\r\nX-Auth-Token: {ALICE}\r\n"
            f"Content-Type: {OCTETS}\r\n"
        )
        writer.write(head.encode() + framing + b"\r\n\r\n" + b"3e8\r\n" + b"x" * 1000)
        await writer.drain()
        async with asyncio.timeout(10):
            while (await service.show(image_id))["status"] != "saving":
                await asyncio.sleep(0.01)

        writer.close()

        async with asyncio.timeout(10):
            while (await service.show(image_id))["status"] != "queued" or service.files():
                await asyncio.sleep(0.01)
    assert await service.upload(image_id, b"abc") == (204, b"")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_image_deleted_during_its_upload_is_gone(service: ImageService) -> None:
    image_id = await service.create()

    async def deleting() -> AsyncIterator[bytes]:
        yield b"x" * 2 * MIB
        async with asyncio.timeout(10):
            while (await service.show(image_id))["status"] != "saving":
                await asyncio.sleep(0.01)
        assert (await service.ask("DELETE", f"/v2/images/{image_id}"))[0] == 204
        yield b"x"

    status, body = await service.upload(image_id, deleting())

    assert status == 410
    assert "could not be found after upload" in body["message"]
    assert service.files() == []


async def test_a_download_of_a_deleted_image_ends_well(service: ImageService) -> None:
    image_id = await service.create()
    await service.upload(image_id, pieces(8 * MIB))
    headers = {"X-Auth-Token": ALICE}

    async with service.http.get(f"{service.url}/v2/images/{image_id}/file", headers=headers) as response:
        first = await response.content.readexactly(1000)
        assert (await service.ask("DELETE", f"/v2/images/{image_id}"))[0] == 204
        rest = await response.read()

    assert len(first) + len(rest) == 8 * MIB


async def test_large_data_takes_no_more_memory_than_small(service: ImageService) -> None:
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    service.api.store._max_bytes = 2**40
    warm = await service.create()
    await service.upload(warm, pieces(8 * MIB))
    before = peak()

    image_id = await service.create()
    assert await service.upload(image_id, pieces(256 * MIB)) == (204, b"")
    headers = {"X-Auth-Token": ALICE}
    received = 0
    async with service.http.get(f"{service.url}/v2/images/{image_id}/file", headers=headers) as response:
        async for chunk in response.content.iter_any():
            received += len(chunk)

    assert received == 256 * MIB
    assert peak() - before < 32 * 1024
