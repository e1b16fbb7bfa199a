"""Changes to an image by JSON patch, in both dialects."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from novaflow.errors import Conflict, Forbidden, Invalid
from novaflow.images.errors import LimitReached
from novaflow.images.image import Image, Status, Visibility
from novaflow.images.patch import apply, parse
from novaflow.models import Context

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Context(request_id="r", user_id="u", project_id="alice", roles=("member",))
ADMIN = Context(request_id="r", user_id="u", project_id="admins", roles=("admin",))
BOB = Context(request_id="r", user_id="u", project_id="bob", roles=("member",))
IMAGE = Image(
    id="i", created_at=NOW, updated_at=NOW, name="n", owner="alice", properties={"colour": "red"}, tags=("t",)
)


def change(*operations: dict[str, Any], context: Context = ALICE, image: Image = IMAGE, draft: int = 10) -> Image:
    return apply(image, parse(list(operations), draft), context)


def put(path: str, value: object, operation: str = "replace") -> dict[str, Any]:
    return {"op": operation, "path": path, "value": value}


@pytest.mark.parametrize(
    ("operation", "after"),
    [
        (put("/name", "m"), {"name": "m"}),
        (put("/name", None), {"name": None}),
        (put("/protected", True), {"protected": True}),
        (put("/tags", ["b", "a", "a"]), {"tags": ("a", "b")}),
        (put("/min_disk", 3), {"min_disk": 3}),
        (put("/visibility", "private"), {"visibility": Visibility.PRIVATE}),
        (put("/disk_format", "raw"), {"disk_format": "raw"}),
        (put("/colour", "blue"), {"properties": {"colour": "blue"}}),
        (put("/colour", "blue", "add"), {"properties": {"colour": "blue"}}),
        (put("/a~1b~0c", "x", "add"), {"properties": {"colour": "red", "a/b~c": "x"}}),
        (put("/kernel_id", None, "add"), {}),
        ({"op": "remove", "path": "/colour"}, {"properties": {}}),
    ],
)
def test_an_operation_changes_one_thing(operation: dict[str, Any], after: dict[str, Any]) -> None:
    assert change(operation) == replace(IMAGE, **after)


def test_operations_are_applied_in_their_order() -> None:
    assert change(put("/x", "1", "add"), put("/x", "2"), {"op": "remove", "path": "/colour"}).properties == {"x": "2"}


def test_no_operation_needs_no_right() -> None:
    assert change(context=BOB) == IMAGE


def test_the_older_dialect_names_the_path_by_the_operation() -> None:
    assert change({"replace": "/name", "value": "m"}, draft=4).name == "m"
    assert change({"add": "/x", "value": "1"}, {"remove": "/colour"}, draft=4).properties == {"x": "1"}


@pytest.mark.parametrize("path", ["/colour", "/name"])
def test_the_older_dialect_adds_only_what_is_not_there(path: str) -> None:
    with pytest.raises(Conflict, match="already present"):
        change({"add": path, "value": "x"}, draft=4)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (put("/status", "active"), "Attribute 'status' is read-only."),
        (put("/id", "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"), "Attribute 'id' is read-only."),
        (put("/checksum", "x", "add"), "Attribute 'checksum' is read-only."),
        ({"op": "remove", "path": "/size"}, "Attribute 'size' is read-only."),
        (put("/deleted", "x"), "Attribute 'deleted' is reserved."),
        (put("/os_glance_stage", "x", "add"), "Attribute 'os_glance_stage' is reserved."),
        (put("/locations", []), "It's not allowed to update locations if locations are invisible."),
        (put("/locations/-", {}, "add"), "It's not allowed to add locations if locations are invisible."),
        ({"op": "remove", "path": "/name"}, "Property name may not be removed."),
        (put("/owner", "bob"), "Owner can't be updated by non admin."),
        (put("/owner", "bob", "add"), "Owner can't be updated by non admin."),
        (put("/visibility", "public"), "You are not authorized to complete publicize_image action."),
    ],
)
def test_what_is_not_the_clients_to_change_is_forbidden(operation: dict[str, Any], reason: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        change(operation)

    assert str(refusal.value) == reason


def test_only_the_owner_and_an_admin_change_an_image() -> None:
    with pytest.raises(Forbidden, match="modify_image"):
        change(put("/name", "m"), context=BOB)
    assert change(put("/owner", "bob"), put("/visibility", "public"), context=ADMIN).owner == "bob"


def test_giving_an_image_away_ends_the_rights_to_it() -> None:
    away = replace(IMAGE, owner="bob")

    with pytest.raises(Forbidden):
        change(put("/name", "m"), image=away)


@pytest.mark.parametrize("name", ["disk_format", "container_format"])
def test_formats_are_settled_once_there_is_data(name: str) -> None:
    active = replace(IMAGE, status=Status.ACTIVE)

    with pytest.raises(Forbidden, match=f"Attribute {name} can be only replaced for a queued image"):
        change(put(f"/{name}", "ami"), image=active)


@pytest.mark.parametrize("operation", [put("/shape", "round"), {"op": "remove", "path": "/shape"}])
def test_what_is_not_there_cannot_be_replaced_or_removed(operation: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match="Property shape does not exist"):
        change(operation)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("add", "Operations must be JSON objects."),
        ({}, "Unable to find `op` in JSON Schema change."),
        ({"op": "move", "path": "/name"}, "Invalid operation: `move`."),
        ({"op": ["add"], "path": "/name"}, "Invalid operation"),
        ({"op": "add"}, "Unable to find 'path' in JSON Schema change"),
        ({"op": "add", "path": "/x"}, 'Operation "add" requires a member named "value".'),
        (put("name", "x"), 'does not start with "/".'),
        (put(7, "x"), 'does not start with "/".'),  # type: ignore[arg-type]
        (put("/", "x"), "does not contains valid token"),
        (put("/a//b", "x"), 'contains adjacent "/".'),
        (put("/a/", "x"), 'end with "/".'),
        (put("/a~2", "x"), 'contains "~" not part of a recognized escape sequence.'),
        (put("/a~", "x"), 'contains "~" not part of a recognized escape sequence.'),
        (put("/a/b", "x"), "Invalid JSON pointer for this resource: '/a/b'"),
        (put("/tags/-", "x", "add"), "Invalid JSON pointer for this resource: '/tags/-'"),
        (put("/locations/0/x", "x", "add"), "Invalid JSON pointer"),
        (put("/name", 7), "7 is not of type 'null', 'string'"),
        (put("/min_ram", -1), "Cannot be a negative value"),
        (put("/colour", 7), "7 is not of type 'string'"),
    ],
)
def test_malformed_operations_are_refused(operation: Any, reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        change(operation)

    assert reason in refusal.value.reason


@pytest.mark.parametrize(
    ("operation", "many"), [({}, "exactly"), ({"add": "/a", "remove": "/b", "value": "x"}, "only")]
)
def test_the_older_dialect_wants_one_operation(operation: dict[str, Any], many: str) -> None:
    with pytest.raises(Invalid, match=f"must contain {many} one member"):
        change(operation, draft=4)


def test_a_patch_is_a_list() -> None:
    with pytest.raises(Invalid, match="must be a JSON array"):
        parse({"op": "add"}, 10)


def test_limits_hold_for_the_outcome() -> None:
    many = [put(f"/p{i}", "x", "add") for i in range(128)]

    with pytest.raises(LimitReached):
        change(*many)
    assert len(change(*many, {"op": "remove", "path": "/colour"}).properties) == 128
