"""The image client against the real image service, and against servers that misbehave."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from novaflow.errors import (
    Conflict,
    Forbidden,
    ImageRefused,
    Invalid,
    LimitExceeded,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
)
from novaflow.models import NewImage
from rpc.tracing import Tracer
from services import clients, outgoing
from services.clients import ImageClient, read_facts
from services.web import Handler, serving
from tests.support.image_service import ALICE, ALICE_READER, BOB, NOVA, ImageService, Spans, image_service

UNKNOWN = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"
DATA = bytes(range(256)) * 12_000
SHOWN = {
    "id": UNKNOWN,
    "name": "n",
    "status": "active",
    "visibility": "private",
    "owner": "p",
    "disk_format": "raw",
    "container_format": "bare",
    "size": 0,
    "min_disk": 0,
    "min_ram": 0,
    "checksum": "0" * 32,
    "os_hash_algo": None,
    "created_at": "2014-04-17T12:00:00Z",
    "os_hash_value": None,
}


@pytest.fixture
async def service(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[ImageService]:
    path = tmp_path / "records.sqlite"
    shutil.copy(migrated_sqlite, path)
    async with image_service(path, tmp_path / "images") as running:
        yield running


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def client(service: ImageService, spans: Spans) -> ImageClient:
    return ImageClient(service.http, f"{service.url}/", Tracer("compute", spans))


async def read(client: ImageClient, image_id: str, token: str) -> list[bytes]:
    async with client.download(image_id, token) as received:
        return [chunk async for chunk in received]


async def test_an_image_is_shown_with_what_compute_needs(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create(name="n", min_disk=1, min_ram=64, kernel_id=UNKNOWN, os_distro="debian")
    await service.upload(image_id, io.BytesIO(DATA))
    shown = await service.show(image_id)

    facts = await client.show(image_id, ALICE)

    assert (facts.id, facts.name, facts.status, facts.owner) == (image_id, "n", "active", "alice-project")
    assert (facts.disk_format, facts.container_format, facts.visibility) == ("raw", "bare", "shared")
    assert (facts.size_bytes, facts.min_disk_gb, facts.min_ram_mb) == (len(DATA), 1, 64)
    assert (facts.md5, facts.sha512) == (shown["checksum"], shown["os_hash_value"])
    assert (facts.kernel_id, facts.ramdisk_id) == (UNKNOWN, "")
    assert facts.properties == {"kernel_id": UNKNOWN, "os_distro": "debian"}


async def test_an_image_is_downloaded_in_chunks(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create()
    await service.upload(image_id, io.BytesIO(DATA))

    for token in (ALICE, NOVA):
        received = await read(client, image_id, token)
        assert b"".join(received) == DATA
        assert [len(chunk) for chunk in received] == [2**20, 2**20, len(DATA) - 2**21]


async def test_refusals_are_told_apart(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create()
    with pytest.raises(ImageRefused, match="it has no data"):
        await read(client, image_id, ALICE)
    await service.upload(image_id, io.BytesIO(DATA))

    for action in (client.show, lambda *words: read(client, *words)):
        with pytest.raises(NotFound, match=f"Image {UNKNOWN} could not be found"):
            await action(UNKNOWN, ALICE)
        with pytest.raises(NotFound):
            await action(image_id, BOB)
        with pytest.raises(Unauthorized):
            await action(image_id, "no token at all")
    with pytest.raises(Forbidden):
        await read(client, image_id, ALICE_READER)


async def test_an_id_is_never_more_than_an_id(client: ImageClient) -> None:
    with pytest.raises(NotFound):
        await client.show("../schemas/image", ALICE)


async def test_the_trace_goes_on_and_the_spans_say_what_happened(
    service: ImageService, client: ImageClient, spans: Spans
) -> None:
    image_id = await service.create()
    await service.upload(image_id, io.BytesIO(DATA))
    with Tracer("compute", spans).span("handle", "build") as above:
        await client.show(image_id, ALICE)
        await read(client, image_id, ALICE)

    shown, fetched = spans.found[:2]
    assert (shown.kind, shown.attributes["image_id"], shown.attributes["status"]) == ("http.client", image_id, 200)
    assert (fetched.kind, fetched.attributes["bytes"]) == ("image", len(DATA))
    served = [span for span in service.spans.found if span.trace_id == above.trace_id]
    assert [(span.parent_id, span.name) for span in served] == [
        (shown.span_id, f"GET /v2/images/{image_id}"),
        (fetched.span_id, f"GET /v2/images/{image_id}/file"),
    ]


@asynccontextmanager
async def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[ImageClient]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    async with serving(app, "127.0.0.1", 0) as port, aiohttp.ClientSession() as http:
        yield ImageClient(http, f"http://127.0.0.1:{port}", Tracer("compute", Spans()))


def status(code: int) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text="{}")

    return handler


@pytest.mark.parametrize("code", [200, 300, 400, 500, 503])
async def test_an_answer_that_makes_no_sense_is_an_outage(code: int) -> None:
    async with answering(status(code)) as client:
        with pytest.raises(ServiceUnavailable):
            await client.show(UNKNOWN, ALICE)


async def test_a_download_that_breaks_off_is_an_error() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with answering(cut) as client:
        with pytest.raises(ServiceUnavailable):
            await read(client, UNKNOWN, ALICE)


async def test_silence_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    over = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        await over.wait()
        return response

    monkeypatch.setattr(clients, "_IDLE", 0.2)
    async with answering(silent) as client:
        with pytest.raises(ServiceUnavailable):
            await read(client, UNKNOWN, ALICE)
        over.set()


async def test_nobody_at_home_is_an_outage() -> None:
    async with answering(status(200)) as client:
        pass
    async with aiohttp.ClientSession() as http:
        client = ImageClient(http, client._url, Tracer("compute", Spans()))
        with pytest.raises(ServiceUnavailable, match="image is not available"):
            await client.show(UNKNOWN, ALICE)
        with pytest.raises(ServiceUnavailable):
            await read(client, UNKNOWN, ALICE)


async def test_the_users_own_failure_is_not_the_image_services(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create()
    await service.upload(image_id, io.BytesIO(DATA))

    async def fill_the_disk() -> None:
        async with client.download(image_id, ALICE) as received:
            async for _ in received:
                raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await fill_the_disk()


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"id": 5}', b"\xff"])
def test_what_is_not_an_image_is_not_read_as_one(document: bytes) -> None:
    with pytest.raises(ServiceUnavailable, match="its answer is not an image"):
        read_facts(document)


async def test_an_uploaded_file_is_the_image_and_is_never_in_memory_as_a_whole(
    service: ImageService, client: ImageClient, spans: Spans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "CHUNK", 65536)
    image_id = await service.create()
    (tmp_path / "file").write_bytes(DATA)

    await client.upload(image_id, tmp_path / "file", ALICE)

    assert b"".join(await read(client, image_id, ALICE)) == DATA
    assert (await client.show(image_id, ALICE)).status == "active"
    (span,) = [span for span in spans.found if span.name.startswith("PUT image")]
    assert (span.attributes["status"], span.attributes["bytes"]) == (204, len(DATA))


async def test_an_upload_that_the_service_refuses_says_why(
    service: ImageService, client: ImageClient, tmp_path: Path
) -> None:
    qcow2 = await service.create(disk_format="qcow2")
    unformatted = await service.create(disk_format=None)
    active = await service.create()
    await service.upload(active, io.BytesIO(DATA))
    (tmp_path / "file").write_bytes(DATA)

    with pytest.raises(ImageRefused, match="qcow2"):
        await client.upload(qcow2, tmp_path / "file", ALICE)
    with pytest.raises(ImageRefused, match="disk_format must be set"):
        await client.upload(unformatted, tmp_path / "file", ALICE)
    with pytest.raises(Conflict):
        await client.upload(active, tmp_path / "file", ALICE)
    with pytest.raises(NotFound):
        await client.upload(UNKNOWN, tmp_path / "file", ALICE)
    with pytest.raises(Unauthorized):
        await client.upload(qcow2, tmp_path / "file", "nobody")
    assert (await client.show(qcow2, ALICE)).status == "queued"


async def test_data_that_arrives_as_something_else_is_refused(tmp_path: Path) -> None:
    async def loses_data(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(SHOWN)
        await request.read()
        return web.Response(status=204)

    (tmp_path / "file").write_bytes(DATA[:1000])
    async with answering(loses_data) as client:
        with pytest.raises(ImageRefused, match=f"it arrived with checksum {SHOWN['checksum']}"):
            await client.upload(UNKNOWN, tmp_path / "file", ALICE)


async def test_an_upload_that_is_not_answered_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response(status=204)

    monkeypatch.setattr(outgoing, "_IDLE", 0.2)
    monkeypatch.setattr(outgoing, "_STORING", 0.2)
    (tmp_path / "file").write_bytes(DATA)
    async with answering(silent) as client:
        with pytest.raises(ServiceUnavailable):
            await client.upload(UNKNOWN, tmp_path / "file", ALICE)
        over.set()


async def test_images_are_listed_by_their_properties_newest_first_over_all_pages(
    service: ImageService, client: ImageClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_PAGE", 2)
    made = [await service.create(instance_uuid="s", backup_type="daily") for _ in range(5)]
    await service.create(instance_uuid="other", backup_type="daily")

    found = await client.list({"instance_uuid": "s", "backup_type": "daily"}, ALICE)

    assert [image.id for image in found] == list(reversed(made))


async def test_a_deleted_image_is_gone(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create()

    with pytest.raises(NotFound):
        await client.delete(image_id, BOB)
    await client.delete(image_id, ALICE)

    with pytest.raises(NotFound):
        await client.delete(image_id, ALICE)
    assert service.files() == []


async def test_an_image_is_made_before_it_has_data(service: ImageService, client: ImageClient) -> None:
    properties = {"image_type": "snapshot", "purpose": "test", "visibility": "public"}
    image = NewImage(name="snap", disk_format="qcow2", container_format="bare", min_disk_gb=1, properties=properties)

    image_id = await client.create(image, ALICE)

    shown = await service.show(image_id)
    assert (shown["name"], shown["status"], shown["visibility"]) == ("snap", "queued", "private")
    assert (shown["disk_format"], shown["min_disk"], shown["image_type"]) == ("qcow2", 1, "snapshot")
    assert (await client.show(image_id, ALICE)).properties["purpose"] == "test"


async def test_an_image_that_says_what_only_the_service_may_is_not_made(client: ImageClient) -> None:
    with pytest.raises(Forbidden):
        await client.create(
            NewImage(name="n", disk_format="raw", container_format="bare", properties={"status": "active"}), ALICE
        )


async def test_an_image_without_a_known_format_is_not_made(client: ImageClient) -> None:
    with pytest.raises(Invalid, match="'floppy' is not one of"):
        await client.create(NewImage(name="n", disk_format="floppy", container_format="bare"), ALICE)


async def test_an_image_service_without_room_is_told_from_one_that_is_away() -> None:
    image = NewImage(name="n", disk_format="raw", container_format="bare")
    for answered, refusal in ((413, LimitExceeded), (401, Unauthorized), (409, Conflict), (500, ServiceUnavailable)):
        async with answering(status(answered)) as client:
            with pytest.raises(refusal):
                await client.create(image, ALICE)
