"""The image records on both databases."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from novaflow.clock import SystemClock
from novaflow.db.database import Database
from novaflow.db.images import Images
from novaflow.db.images_members import ImageMembers
from novaflow.db.images_uploads import ImageUploads
from novaflow.errors import Conflict, Invalid, NotFound
from novaflow.images.errors import ImageNotFound, LimitReached, NotPermitted
from novaflow.images.image import Image, Status, StoredData, Visibility
from novaflow.images.query import ImageQuery, parse

BEGIN = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
DATA = StoredData(size=5, virtual_size=2**40, checksum="0" * 32, os_hash_value="f" * 128)


def image_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def image(number: int = 1, **rest: Any) -> Image:
    moment = BEGIN + timedelta(seconds=number)
    facts: dict[str, Any] = {"id": image_id(number), "owner": "alice", "created_at": moment, "updated_at": moment}
    return Image(**{**facts, **rest})


@pytest.fixture
def images(database: Database) -> Images:
    return Images(database, SystemClock())


@pytest.fixture
def uploads(database: Database) -> ImageUploads:
    return ImageUploads(database, SystemClock())


@pytest.fixture
def members(database: Database) -> ImageMembers:
    return ImageMembers(database, SystemClock())


async def test_an_image_is_read_as_it_was_written(images: Images) -> None:
    written = image(
        name="\u00fcber \U0001f427",
        visibility=Visibility.PUBLIC,
        protected=True,
        disk_format="raw",
        properties={"Key": "1", "key": "x" * 70000},
        tags=("T", "t"),
    )
    await images.create(written)

    assert await images.get(written.id) == written


async def test_an_id_is_given_once_and_not_again_after_deletion(images: Images) -> None:
    await images.create(image())
    with pytest.raises(Conflict, match="already exists!"):
        await images.create(image(name="other"))

    await images.delete(image_id(1))
    with pytest.raises(Conflict):
        await images.create(image(name="other"))


async def test_a_deleted_image_is_gone_with_all_that_hung_on_it(images: Images, members: ImageMembers) -> None:
    await images.create(image(tags=("t",), properties={"a": "b"}))
    await members.add(image_id(1), "bob")

    await images.delete(image_id(1))

    assert await members.list(image_id(1)) == []
    assert await images.list(ImageQuery(project_id="alice")) == []
    for attempt in (images.get(image_id(1)), images.delete(image_id(1)), images.change(image_id(1), lambda now: now)):
        with pytest.raises(ImageNotFound):
            await attempt


async def test_a_protected_image_is_not_deleted(images: Images) -> None:
    await images.create(image(protected=True))

    with pytest.raises(NotPermitted, match="is protected and cannot be deleted"):
        await images.delete(image_id(1))


async def test_a_change_that_refuses_changes_nothing(images: Images) -> None:
    await images.create(image())

    def refuse(now: Image) -> Image:
        raise Conflict(reason="no")

    with pytest.raises(Conflict):
        await images.change(image_id(1), refuse)
    assert await images.get(image_id(1)) == image()


async def test_a_change_reaches_everything_that_hangs_on_an_image(images: Images) -> None:
    await images.create(image(properties={"keep": "1", "change": "1", "drop": "1"}, tags=("keep", "drop")))

    changed = await images.change(
        image_id(1),
        lambda now: replace(now, name="n", properties={"keep": "1", "change": "2", "add": "3"}, tags=("add", "keep")),
    )

    assert await images.get(image_id(1)) == changed
    assert changed.properties == {"keep": "1", "change": "2", "add": "3"}
    assert (changed.name, changed.tags) == ("n", ("add", "keep"))
    assert changed.updated_at > image().updated_at


async def test_no_change_is_lost_among_many_at_once(images: Images) -> None:
    await images.create(image())

    def tagging(tag: str) -> Any:
        return lambda now: replace(now, tags=tuple(sorted({*now.tags, tag})))

    await asyncio.gather(*(images.change(image_id(1), tagging(f"t{n:02d}")) for n in range(20)))

    assert len((await images.get(image_id(1))).tags) == 20


async def test_of_many_uploads_at_once_one_has_the_image(images: Images, uploads: ImageUploads) -> None:
    await images.create(image())

    claims = await asyncio.gather(
        *(uploads.claim(image_id(1), image_id(n)) for n in range(10, 20)), return_exceptions=True
    )

    assert claims.count(None) == 1
    assert all("from saving to saving is not allowed" in str(each) for each in claims if each is not None)
    assert await uploads.running() == {image_id(1): image_id(10 + claims.index(None))}


async def test_an_upload_makes_the_image_active_with_its_data(images: Images, uploads: ImageUploads) -> None:
    await images.create(image())
    await uploads.claim(image_id(1), "u")
    assert not await uploads.has_data(image_id(1))

    assert await uploads.finish(image_id(1), "u", DATA)

    found = await images.get(image_id(1))
    assert (found.status, found.size, found.virtual_size) == (Status.ACTIVE, 5, 2**40)
    assert (found.checksum, found.os_hash_algo, found.os_hash_value) == ("0" * 32, "sha512", "f" * 128)
    assert await uploads.has_data(image_id(1))
    assert await uploads.running() == {}
    with pytest.raises(Conflict, match="from active to saving"):
        await uploads.claim(image_id(1), "v")


async def test_work_that_is_done_twice_is_done_once(images: Images, uploads: ImageUploads) -> None:
    await images.create(image())

    await uploads.claim(image_id(1), "u")
    await uploads.claim(image_id(1), "u")
    assert await uploads.finish(image_id(1), "u", DATA)
    assert await uploads.finish(image_id(1), "u", DATA)


async def test_an_upload_that_lost_the_image_changes_nothing(images: Images, uploads: ImageUploads) -> None:
    await images.create(image())
    await uploads.claim(image_id(1), "u")
    assert await uploads.drop(image_id(1), "u")
    assert (await images.get(image_id(1))).status is Status.QUEUED
    await uploads.claim(image_id(1), "v")

    assert not await uploads.finish(image_id(1), "u", DATA)
    assert await uploads.drop(image_id(1), "u")

    assert await uploads.running() == {image_id(1): "v"}


async def test_an_upload_that_finished_is_not_dropped(images: Images, uploads: ImageUploads) -> None:
    await images.create(image())
    await uploads.claim(image_id(1), "u")
    await uploads.finish(image_id(1), "u", DATA)

    assert not await uploads.drop(image_id(1), "u")

    assert (await images.get(image_id(1))).status is Status.ACTIVE


async def test_an_image_deleted_during_its_upload_stays_deleted(images: Images, uploads: ImageUploads) -> None:
    await images.create(image())
    await uploads.claim(image_id(1), "u")
    await images.delete(image_id(1))

    assert not await uploads.finish(image_id(1), "u", DATA)
    with pytest.raises(ImageNotFound):
        await uploads.claim(image_id(1), "v")
    with pytest.raises(ImageNotFound):
        await uploads.claim(image_id(2), "v")


async def test_memberships_come_change_and_go(images: Images, members: ImageMembers) -> None:
    await images.create(image())
    offered = await members.add(image_id(1), "bob")
    assert (offered.status, await members.list(image_id(1))) == ("pending", [offered])

    with pytest.raises(Conflict, match="Member bob is duplicated for image"):
        await members.add(image_id(1), "bob")
    assert (await members.answer(image_id(1), "bob", "accepted")).status == "accepted"
    await members.remove(image_id(1), "bob")
    assert await members.find(image_id(1), "bob") is None
    with pytest.raises(NotFound):
        await members.answer(image_id(1), "bob", "accepted")


async def test_an_image_is_shared_with_at_most_128(images: Images, members: ImageMembers) -> None:
    await images.create(image())
    for number in range(127):
        await members.add(image_id(1), f"project{number}")

    last = await asyncio.gather(*(members.add(image_id(1), name) for name in "abcd"), return_exceptions=True)

    assert sum(isinstance(each, LimitReached) for each in last) == 3
    assert len(await members.list(image_id(1))) == 128


async def listed(images: Images, *pairs: tuple[str, str], project: str = "alice", admin: bool = False) -> list[int]:
    found = await images.list(parse(pairs, project_id=project, is_admin=admin))
    return [int(each.id[-12:]) for each in found]


async def test_who_is_shown_what(images: Images, members: ImageMembers) -> None:
    for number, visibility in enumerate(Visibility):
        await images.create(image(number, visibility=visibility))
    public, community, shared, private = range(4)
    assert list(Visibility) == ["public", "community", "shared", "private"]
    await members.add(image_id(shared), "bob")

    assert await listed(images) == [private, shared, community, public]
    assert await listed(images, project="bob") == [public]
    assert await listed(images, ("member_status", "pending"), project="bob") == [shared, public]
    assert await listed(images, ("member_status", "all"), project="bob") == [shared, public]
    await members.answer(image_id(shared), "bob", "accepted")
    assert await listed(images, project="bob") == [shared, public]
    assert await listed(images, ("visibility", "community"), project="bob") == [community]
    assert await listed(images, ("visibility", "all"), project="bob") == [shared, community, public]
    assert await listed(images, ("visibility", "private"), project="bob") == []
    assert await listed(images, project="admins", admin=True) == [private, shared, public]
    assert await listed(images, ("visibility", "all"), project="admins", admin=True) == [3, 2, 1, 0]


async def test_every_filter_narrows_the_list(images: Images, uploads: ImageUploads) -> None:
    await images.create(image(1, name="a", disk_format="raw", container_format="bare", tags=("x", "y")))
    await images.create(image(2, name="b", disk_format="qcow2", properties={"os_distro": "debian"}, tags=("x",)))
    await images.create(image(3, name="a, b", os_hidden=True))
    await images.create(image(4, protected=True, min_ram=64))
    await uploads.claim(image_id(1), "u")
    await uploads.finish(image_id(1), "u", DATA)

    cases: dict[tuple[tuple[str, str], ...], list[int]] = {
        (("name", "a"),): [1],
        (("name", "A"),): [],
        (("name", "in:a,b"),): [2, 1],
        (("id", f"in:{image_id(1)},{image_id(4)}"),): [4, 1],
        (("status", "active"),): [1],
        (("status", "in:active,queued"),): [4, 2, 1],
        (("status", "nonsense"),): [],
        (("disk_format", "qcow2"),): [2],
        (("container_format", "bare"),): [1],
        (("owner", "alice"),): [4, 2, 1],
        (("owner", "bob"),): [],
        (("size_min", "5"),): [1],
        (("size_max", "4"),): [],
        (("min_ram", "64"),): [4],
        (("tag", "x"),): [2, 1],
        (("tag", "x"), ("tag", "y")): [1],
        (("os_hidden", "true"),): [3],
        (("os_hidden", "true"), ("name", 'in:"a, b"')): [3],
        (("protected", "true"),): [4],
        (("checksum", "0" * 32),): [1],
        (("os_hash_value", "f" * 128),): [1],
        (("os_distro", "debian"),): [2],
        (("os_distro", "fedora"),): [],
        (("created_at", "gt:2026-01-01T12:00:02.5Z"),): [4],
        (("created_at", "lt:2026-01-01T12:00:02+00:00"),): [1],
        (("limit", "0"),): [],
    }
    for pairs, expected in cases.items():
        assert await listed(images, *pairs) == expected, pairs


@pytest.mark.parametrize("way", ["asc", "desc"])
@pytest.mark.parametrize("key", ["name", "size", "disk_format", "status", "created_at", "id", "updated_at"])
async def test_pages_in_any_order_together_are_the_whole_list(
    images: Images, uploads: ImageUploads, key: str, way: str
) -> None:
    for number, (name, disk) in enumerate(itertools.product([None, "a", "b"], [None, "raw", "qcow2"])):
        await images.create(image(number, name=name, disk_format=disk, created_at=BEGIN, updated_at=BEGIN))
    for number in (3, 5):
        await uploads.claim(image_id(number), "u")
        await uploads.finish(image_id(number), "u", DATA)

    order = ("sort", f"{key}:{way}")
    whole = await listed(images, order)
    pages: list[int] = []
    while page := await listed(images, order, ("limit", "2"), *([("marker", image_id(pages[-1]))] if pages else [])):
        pages += page

    assert sorted(whole) == list(range(9))
    assert pages == whole


async def test_a_marker_must_be_an_image(images: Images) -> None:
    with pytest.raises(Invalid, match="No image found with ID nope"):
        await listed(images, ("marker", "nope"))
