"""Who sees what: every visibility, every kind of asker."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from novaflow.errors import Forbidden, NotFound
from novaflow.images.access import require_data, require_owner, require_seen, sees
from novaflow.images.image import Image, Status, Visibility
from novaflow.models import Context

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = Image(id="i", created_at=NOW, updated_at=NOW, owner="alice", status=Status.ACTIVE)


def asker(project: str, *roles: str) -> Context:
    return Context(request_id="r", user_id="u", project_id=project, roles=roles)


ADMIN, SERVICE = asker("admins", "admin"), asker("services", "service")
ALICE, READER, BOB = asker("alice", "member"), asker("alice", "reader"), asker("bob", "member")


@pytest.mark.parametrize("visibility", Visibility)
@pytest.mark.parametrize("who", [ADMIN, SERVICE, ALICE, READER])
def test_admins_services_and_the_owning_project_see_every_image(visibility: Visibility, who: Context) -> None:
    assert sees(who, replace(IMAGE, visibility=visibility), is_member=False)


@pytest.mark.parametrize(
    ("visibility", "as_member", "as_stranger"),
    [
        (Visibility.PUBLIC, True, True),
        (Visibility.COMMUNITY, True, True),
        (Visibility.SHARED, True, False),
        (Visibility.PRIVATE, False, False),
    ],
)
def test_other_projects_see_by_visibility_and_membership(
    visibility: Visibility, as_member: bool, as_stranger: bool
) -> None:
    image = replace(IMAGE, visibility=visibility)

    assert sees(BOB, image, is_member=True) is as_member
    assert sees(BOB, image, is_member=False) is as_stranger


def test_what_is_not_seen_does_not_exist() -> None:
    with pytest.raises(NotFound, match="No image found with ID i"):
        require_seen(BOB, IMAGE, is_member=False)


@pytest.mark.parametrize("who", [BOB, READER, SERVICE])
def test_only_the_owner_and_admins_change(who: Context) -> None:
    require_owner(ALICE, IMAGE, "delete_image")
    require_owner(ADMIN, IMAGE, "delete_image")

    with pytest.raises(Forbidden, match="not authorized to complete delete_image"):
        require_owner(who, IMAGE, "delete_image")


def test_an_image_of_nobody_is_seen_by_all_and_changed_by_admins() -> None:
    orphan = replace(IMAGE, owner=None, visibility=Visibility.PRIVATE)

    assert sees(BOB, orphan, is_member=False)
    with pytest.raises(Forbidden):
        require_owner(BOB, orphan, "modify_image")


def test_data_is_withheld_from_readers_and_while_the_image_is_deactivated() -> None:
    require_data(ALICE, IMAGE)
    with pytest.raises(Forbidden, match="download_image"):
        require_data(READER, IMAGE)

    withheld = replace(IMAGE, status=Status.DEACTIVATED)
    require_data(ADMIN, withheld)
    with pytest.raises(Forbidden, match="has been deactivated"):
        require_data(ALICE, withheld)
