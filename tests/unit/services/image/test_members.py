"""Sharing: the owner offers, the other project answers, strangers see nothing."""

from typing import Any

import pytest

from tests.support.image_service import ADMIN, ALICE, BOB, ImageService

OTHER = "other-project"


def message(body: Any) -> str:
    return str(body["message"]).removesuffix("<br /><br />\n\n\n")


async def offer(service: ImageService, image_id: str, member: str = "bob-project") -> tuple[int, Any]:
    return await service.ask("POST", f"/v2/images/{image_id}/members", json={"member": member})


async def test_an_offer_is_pending_until_it_is_accepted(service: ImageService) -> None:
    image_id = await service.create()
    status, member = await offer(service, image_id)
    assert status == 200
    assert member == {
        "member_id": "bob-project",
        "image_id": image_id,
        "status": "pending",
        "created_at": member["created_at"],
        "updated_at": member["updated_at"],
        "schema": "/v2/schemas/member",
    }
    assert (await service.ask("GET", f"/v2/images/{image_id}", BOB))[0] == 200
    assert (await service.ask("GET", "/v2/images", BOB))[1]["images"] == []

    path = f"/v2/images/{image_id}/members/bob-project"
    status, member = await service.ask("PUT", path, BOB, json={"status": "accepted"})

    assert (status, member["status"]) == (200, "accepted")
    assert [image["id"] for image in (await service.ask("GET", "/v2/images", BOB))[1]["images"]] == [image_id]
    assert (await service.ask("GET", path, BOB))[1] == member


async def test_an_offer_taken_back_hides_the_image_again(service: ImageService) -> None:
    image_id = await service.create()
    await offer(service, image_id)

    assert await service.ask("DELETE", f"/v2/images/{image_id}/members/bob-project") == (204, b"")

    assert (await service.ask("GET", f"/v2/images/{image_id}", BOB))[0] == 404
    status, body = await service.ask("DELETE", f"/v2/images/{image_id}/members/bob-project")
    assert (status, message(body)) == (
        404,
        f"bob-project not found in the member list of the image {image_id}.",
    )


async def test_the_owner_sees_all_members_and_a_member_itself(service: ImageService) -> None:
    image_id = await service.create()
    await offer(service, image_id)
    await offer(service, image_id, OTHER)
    path = f"/v2/images/{image_id}/members"

    async def seen(token: str) -> list[str]:
        body = (await service.ask("GET", path, token))[1]
        assert body["schema"] == "/v2/schemas/members"
        return [member["member_id"] for member in body["members"]]

    assert await seen(ALICE) == ["bob-project", OTHER]
    assert await seen(ADMIN) == ["bob-project", OTHER]
    assert await seen(BOB) == ["bob-project"]
    assert (await service.ask("GET", f"{path}/{OTHER}", BOB))[0] == 404


async def test_each_side_does_only_its_own_part(service: ImageService) -> None:
    image_id = await service.create()
    await offer(service, image_id)
    await offer(service, image_id, OTHER)
    path = f"/v2/images/{image_id}/members"
    accept = {"json": {"status": "accepted"}}

    refusals = [
        await service.ask("PUT", f"{path}/bob-project", ALICE, **accept),
        await service.ask("POST", path, BOB, json={"member": "third"}),
        await service.ask("DELETE", f"{path}/bob-project", BOB),
    ]

    assert [status for status, _ in refusals] == [403, 403, 403]
    assert [message(body) for _, body in refusals] == [
        f"Not allowed to update members for image {image_id}.",
        f"Not allowed to create members for image {image_id}.",
        f"Not allowed to delete members for image {image_id}.",
    ]
    assert (await service.ask("PUT", f"{path}/{OTHER}", BOB, **accept))[0] == 404
    assert (await service.ask("PUT", f"{path}/bob-project", ADMIN, **accept))[0] == 200


@pytest.mark.parametrize("visibility", ["private", "community"])
async def test_only_a_shared_image_has_members(service: ImageService, visibility: str) -> None:
    image_id = await service.create(visibility=visibility)
    path = f"/v2/images/{image_id}/members"

    status, body = await service.ask("GET", path)
    assert status == 403
    assert message(body).endswith("Only shared images have members.")
    assert (await offer(service, image_id))[0] == 403
    assert (await service.ask("GET", f"{path}/bob-project"))[0] == 404


async def test_a_stranger_learns_nothing(service: ImageService) -> None:
    image_id = await service.create()

    status, body = await service.ask("GET", f"/v2/images/{image_id}/members", BOB)

    assert (status, message(body)) == (404, f"Image {image_id} not found.")


async def test_an_offer_is_made_once(service: ImageService) -> None:
    image_id = await service.create()
    await offer(service, image_id)

    status, body = await offer(service, image_id)

    assert (status, message(body)) == (409, f"Member bob-project is duplicated for image {image_id}")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "Member to be added not specified"),
        ({"member": ""}, "Member can't be empty"),
        ({"member": 7}, "Member must be the id of a project"),
        ({"member": "x" * 256}, "at most 255 characters"),
        ([], "Expected a member in the form"),
    ],
)
async def test_a_bad_offer_is_refused(service: ImageService, document: Any, words: str) -> None:
    image_id = await service.create()

    status, body = await service.ask("POST", f"/v2/images/{image_id}/members", json=document)

    assert (status, words in message(body)) == (400, True)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "Status not specified"),
        ({"status": "maybe"}, 'Status must be "pending", "accepted" or "rejected".'),
        ({"status": ["accepted"]}, 'Status must be "pending", "accepted" or "rejected".'),
        ([], "Expected a status in the form"),
    ],
)
async def test_a_bad_answer_is_refused(service: ImageService, document: Any, words: str) -> None:
    image_id = await service.create()
    await offer(service, image_id)

    status, body = await service.ask("PUT", f"/v2/images/{image_id}/members/bob-project", BOB, json=document)

    assert (status, words in message(body)) == (400, True)
