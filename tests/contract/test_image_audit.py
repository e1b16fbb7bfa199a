"""Images that nobody wants, on both databases: those whose orders have ended, and those of which no order knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from novaflow.db.ordered_images import OrderedImages
from novaflow.errors import Forbidden, NotFound, ServiceUnavailable
from novaflow.models import Fault, ImageFacts, Server
from novaflow.states import Event
from novaflow.tasks import TaskParams
from services.image_audit import WINDOW, ImageAudit
from tests.support.cloud_records import Records, request, task_of

SHELVED = (Event.UPLOAD_WANTED, Event.UPLOAD_STARTED, Event.SHELVED)
UPLOADED = (Event.SNAPSHOT_STARTED, Event.UPLOAD_WANTED, Event.UPLOAD_STARTED, Event.UPLOADED)


@dataclass
class Images:
    """An image service."""

    there: dict[str, ImageFacts] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    asked: int = 0
    is_away: bool = False

    def add(self, image_id: str, server_id: str, *, status: str = "active", kind: str = "snapshot") -> str:
        properties = {"instance_uuid": server_id, "image_type": kind}
        self.there[image_id] = ImageFacts(id=image_id, status=status, properties=properties)
        return image_id

    async def show(self, image_id: str, token: str) -> ImageFacts:
        self._ask(token)
        if image_id not in self.there:
            raise NotFound(kind="Image", key=image_id)
        return self.there[image_id]

    async def list(self, filters: Mapping[str, str], token: str) -> Sequence[ImageFacts]:
        self._ask(token)
        return [
            image
            for image in self.there.values()
            if image.status == filters["status"] and image.properties["image_type"] == filters["image_type"]
        ]

    async def delete(self, image_id: str, token: str) -> None:
        self._ask(token)
        if image_id in self.protected:
            raise Forbidden(rule="delete_image")
        if self.there.pop(image_id, None) is None:
            raise NotFound(kind="Image", key=image_id)

    def _ask(self, token: str) -> None:
        assert token == "service"
        self.asked += 1
        if self.is_away:
            raise ServiceUnavailable(service="image", reason="it is away")


@dataclass
class World:
    records: Records
    images: Images
    audit: ImageAudit

    async def order(self, server: Server, action: str, event: Event, image_id: str = "", *after: Event) -> Server:
        self.records.clock.advance(timedelta(seconds=1))
        params = TaskParams(image_id=image_id)
        ordered = await self.records.servers.order(request(1), server, action, event, params=params)
        for happened in after:
            fault = Fault(code=500, message="no") if happened is Event.FAILED else None
            await self.records.servers.advance(server.id, task_of(ordered), happened, fault=fault)
        return await self.records.servers.get(server.id, deleted=True)

    async def shelved(self, image_id: str) -> Server:
        server = await self.records.active()
        self.images.add(image_id, server.id)
        return await self.order(server, "shelve", Event.SHELVE_ORDERED, image_id, *SHELVED)


@pytest.fixture
async def world(records: Records) -> World:
    await records.host("c1")
    images = Images()

    async def token() -> str:
        return "service"

    return World(records, images, ImageAudit(images, OrderedImages(records.database), token, records.clock))


async def test_what_a_shelved_server_waits_as_stays_and_goes_with_the_server(world: World) -> None:
    server = await world.shelved("i")
    assert await world.audit.look() == 0

    await world.order(server, "forceDelete", Event.DELETE_ORDERED, "", Event.DELETED)

    assert await world.audit.look() == 1
    assert world.images.there == {}


async def test_what_a_server_has_come_back_from_goes_and_what_it_waits_as_now_stays(world: World) -> None:
    server = await world.shelved("first")
    back = (Event.UNSHELVE_POWERING_ON, Event.STARTED)
    server = await world.order(server, "unshelve", Event.UNSHELVE_ORDERED, "first", *back)
    world.images.add("second", server.id)
    await world.order(server, "shelve", Event.SHELVE_ORDERED, "second", *SHELVED)

    assert await world.audit.look() == 1
    assert [*world.images.there] == ["second"]


async def test_a_server_that_is_worked_on_is_left_to_its_workers(world: World) -> None:
    server = await world.shelved("i")
    await world.order(server, "unshelve", Event.UNSHELVE_ORDERED, "i", Event.UNSHELVE_POWERING_ON)

    assert await world.audit.look() == 0


async def test_a_snapshot_stays_when_it_was_made_and_goes_when_it_failed(world: World) -> None:
    server = await world.records.active()
    made = world.images.add("made", server.id)
    server = await world.order(server, "createImage", Event.SNAPSHOT_ORDERED, made, *UPLOADED)
    world.images.add("failed", server.id, status="queued")
    await world.order(server, "createImage", Event.SNAPSHOT_ORDERED, "failed", Event.FAILED)

    assert await world.audit.look() == 1
    assert [*world.images.there] == [made]


async def test_a_snapshot_that_has_its_data_is_its_owners_although_a_delete_took_over(world: World) -> None:
    server = await world.records.active()
    world.images.add("whole", server.id)
    server = await world.order(server, "createImage", Event.SNAPSHOT_ORDERED, "whole")
    await world.order(server, "forceDelete", Event.DELETE_ORDERED, "", Event.DELETED)

    assert await world.audit.look() == 0


@pytest.mark.parametrize("kind", ["snapshot", "backup"])
async def test_a_record_that_no_order_knows_goes_when_it_is_found_again(world: World, kind: str) -> None:
    server = await world.records.active()
    world.images.add("unknown", server.id, status="queued", kind=kind)
    world.images.add("whole", server.id, kind=kind)
    world.images.add("somebody-else's", "no server of ours", status="queued", kind=kind)

    assert await world.audit.look() == 0
    assert await world.audit.look() == 1
    assert sorted(world.images.there) == ["somebody-else's", "whole"]


async def test_a_record_whose_order_comes_late_stays(world: World) -> None:
    server = await world.records.active()
    world.images.add("late", server.id, status="queued")
    assert await world.audit.look() == 0
    await world.order(server, "createImage", Event.SNAPSHOT_ORDERED, "late")

    assert await world.audit.look() == 0


async def test_an_image_service_that_is_away_is_asked_again(world: World) -> None:
    server = await world.shelved("i")
    await world.order(server, "forceDelete", Event.DELETE_ORDERED, "", Event.DELETED)
    world.images.is_away = True
    with pytest.raises(ServiceUnavailable):
        await world.audit.look()

    world.images.is_away = False
    assert await world.audit.look() == 1


async def test_an_image_that_may_not_be_removed_is_tried_once(world: World) -> None:
    server = await world.shelved("i")
    await world.order(server, "forceDelete", Event.DELETE_ORDERED, "", Event.DELETED)
    world.images.protected.add("i")
    assert await world.audit.look() == 0
    asked = world.images.asked

    assert await world.audit.look() == 0
    assert world.images.asked == asked + 2  # the lists of what has no data
    assert [*world.images.there] == ["i"]


async def test_what_has_not_changed_for_long_is_not_looked_at(world: World) -> None:
    server = await world.shelved("i")
    await world.order(server, "forceDelete", Event.DELETE_ORDERED, "", Event.DELETED)
    world.records.clock.advance(WINDOW + timedelta(seconds=1))

    assert await world.audit.look() == 0
