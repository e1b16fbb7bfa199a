"""Images changed and shared through the image service's other end, by the real image service."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novaflow.db.migrate import upgrade
from novaflow.errors import Conflict, Forbidden, Invalid, NotFound
from rpc.tracing import Discard, Tracer
from services.clients import ImageClient
from tests.support.image_service import ALICE, BOB, ImageService, image_service

KERNEL = "44444444-4444-4444-8444-444444444444"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ImageService]:
    path = tmp_path / "images.sqlite"
    await upgrade(f"sqlite+aiosqlite:///{path}")
    async with image_service(path, tmp_path / "images") as running:
        yield running


@pytest.fixture
def client(service: ImageService) -> ImageClient:
    return ImageClient(service.http, service.url, Tracer("nova-api", Discard()))


async def test_an_image_is_named_anew_and_described(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create(name="old", description="before")

    await client.update(image_id, {"name": "new", "description": "after", "kernel_id": KERNEL}, ALICE)

    facts = await client.show(image_id, ALICE)
    assert (facts.name, facts.properties["description"], facts.kernel_id) == ("new", "after", KERNEL)
    with pytest.raises(Invalid):
        await client.update(image_id, {"visibility": "everywhere"}, ALICE)
    with pytest.raises(NotFound):
        await client.update(image_id, {"name": "theirs"}, BOB)


async def test_an_image_is_shared_with_a_project_and_no_more(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create(name="web", visibility="shared")

    await client.share(image_id, "bob-project", ALICE)

    assert await client.members(image_id, ALICE) == ["bob-project"]
    assert (await client.show(image_id, BOB)).name == "web"
    with pytest.raises(Conflict):
        await client.share(image_id, "bob-project", ALICE)
    with pytest.raises(Forbidden):
        await client.update(image_id, {"name": "mine"}, BOB)
    await client.unshare(image_id, "bob-project", ALICE)
    with pytest.raises(NotFound):
        await client.show(image_id, BOB)


async def test_a_member_cannot_publish_an_image(service: ImageService, client: ImageClient) -> None:
    image_id = await service.create(name="web")

    with pytest.raises(Forbidden):
        await client.update(image_id, {"visibility": "public"}, ALICE)
