"""Images over HTTP: create, list, show, change, delete."""

import io
from typing import Any

import pytest

from tests.support.image_service import ADMIN, ALICE, ALICE_READER, BOB, NOVA, ImageService

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
UNKNOWN = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"


def message(body: Any) -> str:
    """What WebOb's JSON says."""
    return str(body["message"]).removesuffix("<br /><br />\n\n\n")


async def test_a_created_image_has_all_that_glance_shows_and_its_place(service: ImageService) -> None:
    document = {"name": "n", "tags": ["b", "a"], "os_distro": "debian", "min_disk": 1}
    headers = {"X-Auth-Token": ALICE}
    async with service.http.post(f"{service.url}/v2/images", json=document, headers=headers) as response:
        image = await response.json()
        assert response.status == 201
        assert response.headers["Location"] == f"{service.url}/v2/images/{image['id']}"
        assert response.headers["X-Openstack-Request-Id"].startswith("req-")

    expected = {
        "name": "n",
        "status": "queued",
        "visibility": "shared",
        "owner": "alice-project",
        "protected": False,
        "os_hidden": False,
        "min_disk": 1,
        "min_ram": 0,
        "tags": ["a", "b"],
        "os_distro": "debian",
        "self": f"/v2/images/{image['id']}",
        "file": f"/v2/images/{image['id']}/file",
        "schema": "/v2/schemas/image",
    }
    empty = ("disk_format", "container_format", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value")
    assert image == {
        **expected,
        **dict.fromkeys(empty),
        "id": image["id"],
        "created_at": image["created_at"],
        "updated_at": image["created_at"],
    }
    assert len(image["created_at"]) == len("2026-01-01T00:00:00Z")
    assert await service.show(image["id"]) == image


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        ({"name": "x" * 256}, 400, "schema['properties']['name']"),
        ({"disk_format": "floppy"}, 400, "On instance['disk_format']"),
        ({"visibility": "public"}, 403, "publicize_image"),
        ({"owner": "bob-project"}, 403, "owned by 'bob-project'"),
        ({"status": "active"}, 403, "Attribute 'status' is read-only."),
        ({f"p{number}": "x" for number in range(129)}, 413, "Attempted: 129, Maximum: 128"),
        ([], 400, "must be a JSON object"),
        ("text", 400, "Unexpected body type. Expected list/dict."),
    ],
)
async def test_a_bad_document_is_refused_by_name(service: ImageService, document: Any, status: int, words: str) -> None:
    answered, body = await service.ask("POST", "/v2/images", json=document)

    assert answered == status
    assert words in message(body)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"{", "Malformed JSON in request body."), (b"\xff{}", "Malformed JSON"), (b"", "Body expected in request.")],
)
async def test_a_body_must_be_json(service: ImageService, data: bytes, words: str) -> None:
    status, body = await service.ask("POST", "/v2/images", data=data)

    assert status == 400
    assert words in message(body)


async def test_a_document_beyond_measure_is_refused(service: ImageService) -> None:
    assert (await service.ask("POST", "/v2/images", data=io.BytesIO(b" " * 2**21)))[0] == 413


async def test_an_id_can_be_chosen_once(service: ImageService) -> None:
    assert await service.create(id=UNKNOWN) == UNKNOWN

    status, body = await service.ask("POST", "/v2/images", json={"id": UNKNOWN})

    assert (status, message(body)) == (409, f"Image ID {UNKNOWN} already exists!")


@pytest.mark.parametrize("image_id", [UNKNOWN, "nope", "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2x", "%00", "..%2F..%2Fetc"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_image_is_not_found(service: ImageService, method: str, image_id: str) -> None:
    body: dict[str, Any] = {"data": b"[]", "headers": PATCH} if method == "PATCH" else {}

    assert (await service.ask(method, f"/v2/images/{image_id}", **body))[0] == 404


async def test_not_found_is_said_in_glances_words(service: ImageService) -> None:
    status, body = await service.ask("GET", f"/v2/images/{UNKNOWN}")

    assert status == 404
    assert body == {
        "message": f"No image found with ID {UNKNOWN}<br /><br />\n\n\n",
        "code": "404 Not Found",
        "title": "Not Found",
    }


async def test_a_patch_changes_and_answers_with_the_image(service: ImageService) -> None:
    image_id = await service.create(os_distro="debian")
    changes = [
        {"op": "replace", "path": "/name", "value": "n"},
        {"op": "add", "path": "/colour", "value": "red"},
        {"op": "remove", "path": "/os_distro"},
        {"op": "replace", "path": "/visibility", "value": "private"},
    ]

    status, image = await service.ask("PATCH", f"/v2/images/{image_id}", json=changes, headers=PATCH)

    assert status == 200
    assert (image["name"], image["colour"], image["visibility"]) == ("n", "red", "private")
    assert "os_distro" not in image
    assert await service.show(image_id) == image


async def test_the_older_dialect_of_patches_is_understood(service: ImageService) -> None:
    image_id = await service.create()
    headers = {"Content-Type": "application/openstack-images-v2.0-json-patch"}

    status, image = await service.ask(
        "PATCH", f"/v2/images/{image_id}", json=[{"replace": "/name", "value": "n"}], headers=headers
    )

    assert (status, image["name"]) == (200, "n")


@pytest.mark.parametrize("media", ["application/json", "application/json-patch+json", "text/plain"])
async def test_another_media_type_is_told_which_ones_are_understood(service: ImageService, media: str) -> None:
    image_id = await service.create()
    headers = {"Content-Type": media, "X-Auth-Token": ALICE, "Accept": "application/json"}

    async with service.http.patch(f"{service.url}/v2/images/{image_id}", data=b"[]", headers=headers) as response:
        body = await response.json()
        assert response.status == 415
        assert "application/openstack-images-v2.1-json-patch" in response.headers["Accept-Patch"]
        assert f"media type {media} is not supported" in body["message"]


async def test_one_bad_operation_spoils_the_patch(service: ImageService) -> None:
    image_id = await service.create()
    before = await service.show(image_id)
    changes = [{"op": "replace", "path": "/name", "value": "n"}, {"op": "remove", "path": "/nothing"}]

    status, body = await service.ask("PATCH", f"/v2/images/{image_id}", json=changes, headers=PATCH)

    assert (status, message(body)) == (409, "Property nothing does not exist.")
    assert await service.show(image_id) == before


async def test_a_protected_image_is_deleted_only_once_it_is_not(service: ImageService) -> None:
    image_id = await service.create(protected=True)
    await service.upload(image_id, b"abc")

    status, body = await service.ask("DELETE", f"/v2/images/{image_id}")
    assert (status, message(body)) == (403, f"Image {image_id} is protected and cannot be deleted.")

    release = [{"op": "replace", "path": "/protected", "value": False}]
    await service.ask("PATCH", f"/v2/images/{image_id}", json=release, headers=PATCH)
    assert await service.ask("DELETE", f"/v2/images/{image_id}") == (204, b"")
    assert service.files() == []
    status, body = await service.ask("DELETE", f"/v2/images/{image_id}")
    assert (status, message(body)) == (404, f"Failed to find image {image_id} to delete")


@pytest.mark.parametrize(
    ("visibility", "bob_sees"), [("private", 404), ("shared", 404), ("community", 200), ("public", 200)]
)
async def test_visibility_decides_who_sees_an_image(service: ImageService, visibility: str, bob_sees: int) -> None:
    owner = {"owner": "alice-project", "visibility": visibility}
    image_id = await service.create(ADMIN, **owner)
    path = f"/v2/images/{image_id}"

    assert (await service.ask("GET", path, ALICE))[0] == 200
    assert (await service.ask("GET", path, NOVA))[0] == 200
    assert (await service.ask("GET", path, BOB))[0] == bob_sees
    denied = 403 if bob_sees == 200 else 404
    rename = [{"op": "replace", "path": "/name", "value": "bob's"}]
    assert (await service.ask("PATCH", path, BOB, json=rename, headers=PATCH))[0] == denied
    assert (await service.ask("DELETE", path, BOB))[0] == denied
    assert (await service.ask("PUT", f"{path}/tags/t", BOB))[0] == denied
    assert (await service.upload(image_id, b"abc", BOB))[0] == denied


async def test_a_reader_only_reads(service: ImageService) -> None:
    image_id = await service.create()
    await service.upload(image_id, b"abc")

    assert (await service.ask("GET", f"/v2/images/{image_id}", ALICE_READER))[0] == 200
    assert (await service.ask("GET", f"/v2/images/{image_id}/file", ALICE_READER))[0] == 403
    assert (await service.ask("DELETE", f"/v2/images/{image_id}", ALICE_READER))[0] == 403
    assert (await service.ask("POST", "/v2/images", ALICE_READER, json={}))[0] == 403


async def test_the_list_is_paged_by_links(service: ImageService) -> None:
    created = [await service.create(name=f"n{number}") for number in range(5)]

    found: list[str] = []
    path = "/v2/images?limit=2&sort=name:asc"
    while path:
        status, page = await service.ask("GET", path)
        assert (status, page["schema"]) == (200, "/v2/schemas/images")
        assert page["first"] == "/v2/images?limit=2&sort=name%3Aasc"
        found += [image["id"] for image in page["images"]]
        path = page.get("next", "")

    assert found == created


async def test_links_keep_every_parameter_of_a_name(service: ImageService) -> None:
    await service.create(tags=["a", "b"])

    _, page = await service.ask("GET", "/v2/images?tag=a&tag=b&limit=1")

    assert page["next"].startswith("/v2/images?tag=a&tag=b&limit=1&marker=")


@pytest.mark.parametrize(
    "query", ["limit=x", "sort=colour", "marker=nope", "visibility=x", "size_min=x", "sort_dir=up"]
)
async def test_a_bad_parameter_is_refused(service: ImageService, query: str) -> None:
    assert (await service.ask("GET", f"/v2/images?{query}"))[0] == 400


async def test_a_body_where_none_belongs_is_refused(service: ImageService) -> None:
    image_id = await service.create()

    status, body = await service.ask("GET", f"/v2/images/{image_id}", data=b"{}")

    assert (status, message(body)) == (400, "A body is not expected with this request.")


async def test_tags_come_and_go_one_by_one(service: ImageService) -> None:
    image_id = await service.create()
    tags = f"/v2/images/{image_id}/tags"

    assert await service.ask("PUT", f"{tags}/a%20b") == (204, b"")
    assert await service.ask("PUT", f"{tags}/a%20b") == (204, b"")
    assert (await service.show(image_id))["tags"] == ["a b"]
    assert (await service.ask("PUT", f"{tags}/{'x' * 256}"))[0] == 400
    assert await service.ask("DELETE", f"{tags}/a%20b") == (204, b"")
    assert (await service.ask("DELETE", f"{tags}/a%20b"))[0] == 404
    assert (await service.show(image_id))["tags"] == []


async def test_a_deactivated_image_keeps_its_data_to_itself(service: ImageService) -> None:
    image_id = await service.create()
    path = f"/v2/images/{image_id}"
    assert (await service.ask("POST", f"{path}/actions/deactivate"))[0] == 403
    await service.upload(image_id, b"abc")

    assert await service.ask("POST", f"{path}/actions/deactivate") == (204, b"")
    assert await service.ask("POST", f"{path}/actions/deactivate") == (204, b"")
    assert (await service.show(image_id))["status"] == "deactivated"
    status, body = await service.ask("GET", f"{path}/file")
    assert (status, "has been deactivated" in message(body)) == (403, True)
    assert await service.ask("GET", f"{path}/file", ADMIN) == (200, b"abc")

    assert await service.ask("POST", f"{path}/actions/reactivate") == (204, b"")
    assert await service.ask("GET", f"{path}/file") == (200, b"abc")
