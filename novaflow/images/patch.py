"""JSON patches of an image: read from a request, then applied to the image as it is at that moment.

Two dialects, told apart by the media type: `v2.1` is RFC 6902 with add, replace and remove; `v2.0` is an older draft in which the
operation's name holds the path. Both reach one attribute deep. Glance's glance/api/v2/images.py is the model.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from novaflow.errors import Conflict, Invalid
from novaflow.images import access, rules, schema
from novaflow.images.errors import NotPermitted
from novaflow.images.image import Image, Status, Visibility
from novaflow.models import Context, Value

MEDIA_TYPES: Final = {
    "application/openstack-images-v2.0-json-patch": 4,  # the draft's number
    "application/openstack-images-v2.1-json-patch": 10,
}
_OPERATIONS: Final = ("add", "remove", "replace")
_OLD_DRAFT: Final = 4
_LOCATIONS: Final = "locations"
_LOCATION_DEPTH: Final = {"add": 2, "remove": 2, "replace": 1}
_LOCATION_VERB: Final = {"add": "add", "remove": "remove", "replace": "update"}


class Change(Value, frozen=True, kw_only=True):
    """One operation on one attribute or property. A `strict` add refuses a name that is there already."""

    operation: str
    name: str
    value: Any = None
    strict: bool = False


def parse(document: object, draft: int) -> tuple[Change, ...]:
    """The changes a request asks for. Raises Invalid, or NotPermitted for what no client may set."""
    if not isinstance(document, list):
        raise Invalid(reason="Request body must be a JSON array of operation objects.")
    return tuple(_change(raw, draft) for raw in document)


def _change(raw: object, draft: int) -> Change:
    if not isinstance(raw, dict):
        raise Invalid(reason="Operations must be JSON objects.")
    operation, pointer = _draft_4(raw) if draft == _OLD_DRAFT else _draft_10(raw)
    path = _path(pointer)
    name = path[0]
    if len(path) != (_LOCATION_DEPTH[operation] if name == _LOCATIONS else 1):
        raise Invalid(reason=f"Invalid JSON pointer for this resource: '/{'/'.join(path)}'")
    if operation != "remove" and "value" not in raw:
        raise Invalid(reason=f'Operation "{operation}" requires a member named "value".')
    _require_changeable(name, operation)
    change = Change(operation=operation, name=name, value=raw.get("value"), strict=draft == _OLD_DRAFT)
    if operation != "remove":
        schema.validate({name: change.value})
    return change


def _draft_10(raw: dict[str, Any]) -> tuple[str, object]:
    available = ", ".join(_OPERATIONS)
    operation = raw.get("op")
    if operation is None:
        raise Invalid(
            reason=f"Unable to find `op` in JSON Schema change. It must be one of the following: {available}."
        )
    if operation not in _OPERATIONS:
        raise Invalid(reason=f"Invalid operation: `{operation}`. It must be one of the following: {available}.")
    if "path" not in raw:
        raise Invalid(reason="Unable to find 'path' in JSON Schema change")
    return operation, raw["path"]


def _draft_4(raw: dict[str, Any]) -> tuple[str, object]:
    named = [operation for operation in _OPERATIONS if operation in raw]
    if len(named) != 1:
        many = "only" if named else "exactly"
        raise Invalid(reason=f'Operation objects must contain {many} one member named "add", "remove", or "replace".')
    return named[0], raw[named[0]]


def _path(pointer: object) -> list[str]:
    """The decoded parts of a JSON pointer."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise Invalid(reason=f'Pointer `{pointer}` does not start with "/".')
    faults = (
        (re.search(r"/\s*?/", pointer[1:]), 'contains adjacent "/".'),
        (len(pointer) > 1 and pointer.endswith("/"), 'end with "/".'),
        (not pointer[1:].strip(), "does not contains valid token."),
        (re.search(r"~([^01]|$)", pointer), 'contains "~" not part of a recognized escape sequence.'),
    )
    for is_so, fault in faults:
        if is_so:
            raise Invalid(reason=f"Pointer `{pointer}` {fault}")
    return [part.replace("~1", "/").replace("~0", "~").strip() for part in pointer.lstrip("/").split("/")]


def _require_changeable(name: str, operation: str) -> None:
    if name in rules.READ_ONLY or name == "id":
        raise rules.read_only(name)
    if name == _LOCATIONS:
        raise NotPermitted(
            reason=f"It's not allowed to {_LOCATION_VERB[operation]} locations if locations are invisible."
        )
    rules.require_property_name(name)


def apply(image: Image, changes: Sequence[Change], context: Context) -> Image:
    """The image after all changes, in their order. Raises NotPermitted, Conflict, Invalid or LimitReached; then nothing changed."""
    for change in changes:
        access.require_owner(context, image, "modify_image")
        if change.operation == "remove":
            image = _remove(image, change.name)
        elif change.name in rules.ATTRIBUTES:
            image = _set_attribute(image, change, context)
        else:
            image = _set_property(image, change)
    rules.require_limits(image)
    return image


def _remove(image: Image, name: str) -> Image:
    if name in rules.ATTRIBUTES:
        raise NotPermitted(reason=f"Property {name} may not be removed.")
    _require_present(image, name)
    return replace(image, properties={key: value for key, value in image.properties.items() if key != name})


def _set_property(image: Image, change: Change) -> Image:
    if change.operation == "replace":
        _require_present(image, change.name)
    elif change.strict and change.name in image.properties:
        raise _present(change.name)
    properties = {**image.properties, change.name: change.value}
    return replace(image, properties={name: value for name, value in properties.items() if value is not None})


def _set_attribute(image: Image, change: Change, context: Context) -> Image:
    name, value = change.name, rules.attribute(change.name, change.value)
    if change.strict and change.operation == "add":
        raise _present(name)
    if name == "owner" and not context.is_admin:
        raise NotPermitted(reason="Owner can't be updated by non admin.")
    if name in ("disk_format", "container_format") and image.status is not Status.QUEUED:
        raise NotPermitted(reason=f"Attribute {name} can be only replaced for a queued image.")
    if name == "visibility":
        access.require_visibility(context, Visibility(value))
    return replace(image, **{name: value})


def _require_present(image: Image, name: str) -> None:
    if name not in image.properties:
        raise Conflict(reason=f"Property {name} does not exist.")


def _present(name: str) -> Conflict:
    return Conflict(reason=f"Property {name} already present.")
