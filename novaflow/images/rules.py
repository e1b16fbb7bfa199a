"""What an image may be made of: from a client's JSON to an image, and the limits that every change keeps.

Refusals are Glance's, status and sentence (glance/api/v2/images.py, glance/domain/__init__.py, glance/quota/__init__.py).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from novaflow.errors import Invalid
from novaflow.images import access, schema
from novaflow.images.errors import LimitReached, NotPermitted
from novaflow.images.image import Image, Visibility
from novaflow.models import Context

PROPERTIES_MAX: Final = 128
TAGS_MAX: Final = 128
MEMBERS_MAX: Final = 128

ATTRIBUTES: Final = (
    "name",
    "visibility",
    "owner",
    "protected",
    "os_hidden",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "tags",
)
READ_ONLY: Final = frozenset(name for name, rule in schema.BASE_PROPERTIES.items() if rule.get("readOnly"))
_NEVER_GIVEN: Final = frozenset({"direct_url", "self", "file", "schema", "stores"})
_RESERVED: Final = frozenset({"location", "deleted", "deleted_at"})
_RESERVED_PREFIX: Final = "os_glance_"
_NAME_MAX: Final = 255
_INTEGER_MAX: Final = 2**31 - 1


def new_image(document: dict[str, Any], context: Context, image_id: str, now: datetime) -> Image:
    """The image that a POST asks for; `image_id` is used unless the document names one.

    Raises Invalid, NotPermitted or LimitReached naming the attribute.
    """
    for name in _NEVER_GIVEN & document.keys():
        raise read_only(name)
    schema.validate(document)
    for name in READ_ONLY & document.keys():
        raise read_only(name)
    given = {name: attribute(name, document[name]) for name in ATTRIBUTES if name in document}
    owner = given.setdefault("owner", context.project_id)
    access.require_creation(context, owner, given.get("visibility", Visibility.PRIVATE))
    known = {"id", *ATTRIBUTES}
    properties = {name: value for name, value in document.items() if name not in known and value is not None}
    for name in properties:
        require_property_name(name)
    image = Image(
        id=document.get("id", image_id).lower(), created_at=now, updated_at=now, properties=properties, **given
    )
    require_limits(image)
    return image


def attribute(name: str, value: Any) -> Any:
    """A base attribute as the image holds it, from JSON that passed the schema. Raises Invalid."""
    if name == "visibility":
        return Visibility(value)
    if name == "tags":
        return unique(value)
    if name in ("min_disk", "min_ram"):
        if value < 0:
            raise Invalid(reason=f"Invalid value '{value}' for parameter '{name}': Cannot be a negative value")
        if value > _INTEGER_MAX:
            raise Invalid(reason=f"Invalid value '{value}' for parameter '{name}': Cannot be more than {_INTEGER_MAX}")
        return int(value)
    return value


def unique(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags once each, in the order in which they are shown."""
    return tuple(sorted(set(tags)))


def require_property_name(name: str) -> None:
    """Raises NotPermitted or Invalid for a name that no property may have."""
    if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
        raise NotPermitted(reason=f"Attribute '{name}' is reserved.")
    if not name or len(name) > _NAME_MAX:
        raise Invalid(reason="Custom property should not be greater than 255 characters.")


def require_limits(image: Image) -> None:
    """Raises LimitReached when the image has more on it than it may."""
    counts: Mapping[str, tuple[int, int]] = {
        "properties": (len(image.properties), PROPERTIES_MAX),
        "tags": (len(image.tags), TAGS_MAX),
    }
    for what, (attempted, maximum) in counts.items():
        if attempted > maximum:
            raise LimitReached(what=what, attempted=attempted, maximum=maximum)


def read_only(name: str) -> NotPermitted:
    """The refusal to set what only the service sets."""
    return NotPermitted(reason=f"Attribute '{name}' is read-only.")
