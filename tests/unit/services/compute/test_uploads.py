"""What a compute host does at the image service, against the real one."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.errors import Conflict, NotFound, ServiceUnavailable
from novaflow.models import Context
from rpc.tracing import Discard, Tracer
from services.clients import ImageClient
from services.compute.uploads import UPLOAD_PAUSES, ImageUploads
from tests.support.clocks import ManualClock
from tests.support.image_service import ADMIN, ALICE, BOB, ImageService, image_service

UNKNOWN = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"
WHO = Context(request_id="req-1", user_id="alice", project_id="alice-project", token=ALICE)
DATA = b"what is on a disk" * 5000


class World:
    """Uploads into a running image service, on a clock that stands still."""

    def __init__(self, service: ImageService, directory: Path) -> None:
        self.service = service
        self.clock = ManualClock(datetime(2014, 4, 17, tzinfo=UTC))
        client = ImageClient(service.http, service.url, Tracer("compute", Discard()))
        self.uploads = ImageUploads(client, self.clock, self.service_token)
        self.file = directory / "copy"
        self.file.write_bytes(DATA)

    async def service_token(self) -> str:
        return ADMIN

    async def status(self, image_id: str) -> str:
        return str((await self.service.show(image_id, ADMIN))["status"])

    async def backup(self, token: str = ALICE) -> str:
        kind = {"image_type": "backup", "backup_type": "daily", "instance_uuid": "s"}
        image_id = await self.service.create(token, **kind)
        await self.uploads.upload(image_id, self.file, token)
        return image_id

    async def images(self) -> set[str]:
        _, page = await self.service.ask("GET", "/v2/images?visibility=all", ADMIN)
        return {image["id"] for image in page["images"]}


@pytest.fixture
async def world(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "records.sqlite"
    shutil.copy(migrated_sqlite, path)
    async with image_service(path, tmp_path / "images") as running:
        yield World(running, tmp_path)


@pytest.mark.parametrize("token", [ALICE, "ended", ""])
async def test_an_image_is_filled_in_the_users_name_or_in_the_services(world: World, token: str) -> None:
    image_id = await world.service.create()

    await world.uploads.upload(image_id, world.file, token)

    shown = await world.service.show(image_id)
    assert (shown["status"], shown["size"], shown["owner"]) == ("active", len(DATA), "alice-project")


async def test_an_image_that_an_earlier_try_has_filled_is_left_alone(world: World) -> None:
    image_id = await world.service.create()
    await world.uploads.upload(image_id, world.file, ALICE)
    world.file.write_bytes(b"something else")

    await world.uploads.upload(image_id, world.file, ALICE)

    assert (await world.service.show(image_id))["size"] == len(DATA)


async def test_an_image_that_is_gone_is_not_tried_for_long(world: World) -> None:
    with pytest.raises(NotFound):
        await world.uploads.upload(UNKNOWN, world.file, ALICE)
    assert world.clock.monotonic() == 0.0


async def test_an_upload_that_another_one_holds_up_is_tried_again_and_then_given_up(world: World) -> None:
    image_id = await world.service.create()
    await world.service.api.uploads._records.claim(image_id, "an upload that was cut short")

    with pytest.raises(Conflict):
        await world.uploads.upload(image_id, world.file, ALICE)

    assert world.clock.monotonic() == sum(UPLOAD_PAUSES)


async def test_a_service_that_stays_away_is_given_up(world: World) -> None:
    client = ImageClient(world.service.http, "http://127.0.0.1:1", Tracer("compute", Discard()))
    uploads = ImageUploads(client, world.clock, world.service_token)

    with pytest.raises(ServiceUnavailable):
        await uploads.upload(UNKNOWN, world.file, ALICE)
    with pytest.raises(ServiceUnavailable):
        await uploads.discard(UNKNOWN, ALICE)


async def test_what_is_discarded_is_gone_with_its_data(world: World) -> None:
    image_id = await world.service.create()
    await world.uploads.upload(image_id, world.file, ALICE)

    await world.uploads.discard(image_id, "ended")
    await world.uploads.discard(image_id, ALICE)

    assert await world.images() == set()
    assert world.service.files() == []


async def test_only_an_image_without_data_is_discarded_when_it_is_said_so(world: World) -> None:
    queued, filled = await world.service.create(), await world.service.create()
    await world.uploads.upload(filled, world.file, ALICE)

    for image_id in (queued, filled):
        await world.uploads.discard(image_id, ALICE, unless_filled=True)

    assert await world.images() == {filled}


@pytest.mark.parametrize("token", [ALICE, ""])
async def test_a_rotation_keeps_the_newest_of_the_projects_own_backups(world: World, token: str) -> None:
    made = [await world.backup() for _ in range(4)]
    forged = await world.backup(BOB)
    await world.service.ask("PATCH", f"/v2/images/{forged}", ADMIN, **_public())

    await world.uploads.rotate(msgspec.structs.replace(WHO, token=token), "s", "daily", 2)

    assert await world.images() == {*made[2:], forged}


async def test_a_backup_that_is_protected_stays(world: World) -> None:
    first, second = await world.backup(), await world.backup()
    await world.service.ask("PATCH", f"/v2/images/{first}", ALICE, **_changed("/protected", True))

    await world.uploads.rotate(WHO, "s", "daily", 0)

    assert await world.images() == {first}
    assert second != first


def _public() -> dict[str, Any]:
    return _changed("/visibility", "public")


def _changed(path: str, value: object) -> dict[str, Any]:
    return {
        "headers": {"Content-Type": "application/openstack-images-v2.1-json-patch"},
        "data": msgspec.json.encode([{"op": "replace", "path": path, "value": value}]),
    }
