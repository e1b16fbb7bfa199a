"""What a client may create."""

from datetime import UTC, datetime
from typing import Any

import pytest

from novaflow.errors import Forbidden, Invalid
from novaflow.images.errors import LimitReached
from novaflow.images.image import Image, Status, Visibility
from novaflow.images.rules import new_image
from novaflow.models import Context

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"
ADMIN = Context(request_id="r", user_id="u", project_id="admins", roles=("admin",))
ALICE = Context(request_id="r", user_id="u", project_id="alice", roles=("member",))
READER = Context(request_id="r", user_id="u", project_id="alice", roles=("reader",))


def make(document: dict[str, Any], context: Context = ALICE) -> Image:
    return new_image(document, context, ID, NOW)


def test_an_empty_document_is_a_queued_shared_image_of_the_project() -> None:
    image = make({})

    assert (image.id, image.status, image.visibility, image.owner) == (ID, Status.QUEUED, Visibility.SHARED, "alice")


def test_what_is_not_an_attribute_is_a_property() -> None:
    image = make({"name": "n", "min_disk": 2.0, "tags": ["b", "a", "b"], "os_distro": "debian", "kernel_id": None})

    assert (image.name, image.min_disk, image.tags, image.properties) == ("n", 2, ("a", "b"), {"os_distro": "debian"})


def test_a_client_may_choose_the_id() -> None:
    assert make({"id": "6C2B7D2E-1BFB-4C2C-8B06-C4E3ED5AB0A3"}).id == "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a3"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"status": "active"}, "Attribute 'status' is read-only."),
        ({"checksum": "0" * 32}, "Attribute 'checksum' is read-only."),
        ({"size": 5}, "Attribute 'size' is read-only."),
        ({"self": "x"}, "Attribute 'self' is read-only."),
        ({"stores": "x"}, "Attribute 'stores' is read-only."),
        ({"deleted": "x"}, "Attribute 'deleted' is reserved."),
        ({"os_glance_x": "x"}, "Attribute 'os_glance_x' is reserved."),
        ({"owner": "bob"}, "You are not permitted to create images owned by 'bob'"),
        ({"visibility": "public"}, "You are not authorized to complete publicize_image action."),
    ],
)
def test_what_only_others_may_set_is_forbidden(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        make(document)

    assert str(refusal.value) == reason


def test_an_admin_may_publish_and_give_away() -> None:
    image = make({"visibility": "public", "owner": "bob"}, ADMIN)

    assert (image.visibility, image.owner) == (Visibility.PUBLIC, "bob")


def test_a_reader_may_not_create() -> None:
    with pytest.raises(Forbidden, match="add_image"):
        make({}, READER)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"min_disk": -1}, "Invalid value '-1' for parameter 'min_disk': Cannot be a negative value"),
        ({"min_ram": 2**31}, "parameter 'min_ram'"),
        ({"x" * 256: "y"}, "Custom property should not be greater than 255 characters."),
        ({"": "y"}, "Custom property"),
        ({"protected": "yes"}, "'yes' is not of type 'boolean'"),
    ],
)
def test_bad_values_are_refused(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        make(document)

    assert reason in refusal.value.reason


@pytest.mark.parametrize(
    ("document", "what"),
    [({f"p{i}": "x" for i in range(129)}, "properties"), ({"tags": [f"t{i}" for i in range(129)]}, "tags")],
)
def test_an_image_has_at_most_128_properties_and_tags(document: dict[str, Any], what: str) -> None:
    with pytest.raises(LimitReached, match=f"{what}. Attempted: 129, Maximum: 128"):
        make(document)
