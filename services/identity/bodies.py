"""Request bodies: JSON objects whose attributes are checked one by one, refused in Keystone's words.

Keystone checks with JSON schema; a `Field` is one property of such a schema, and its complaints are jsonschema's. Attributes
that no field names are kept beside the record, as Keystone keeps them in `extra`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from novaflow.errors import Invalid

MAX_BODY: Final = 114688  # oslo.middleware's max_request_body_size

_MALFORMED: Final = (
    "Expecting to find {} in {}. The server could not comply with the request since it is either malformed or otherwise "
    "incorrect. The client is assumed to be in error."
)
_SECRET: Final = ("password", "token")  # what an attribute of such a name holds is never repeated
_KINDS: Final[dict[str, type]] = {"string": str, "boolean": bool, "object": dict, "array": list}


def missing(attribute: str, target: str) -> Invalid:
    """Keystone's words for something that is not where it should be."""
    return Invalid(reason=_MALFORMED.format(attribute, target))


@dataclass(frozen=True)
class Field:
    """What one attribute may be. `kind` is JSON schema's name of a type; an array holds strings."""

    kind: str = "string"
    required: bool = False
    nullable: bool = False
    shortest: int = 0
    longest: int | None = None
    pattern: str = ""
    choices: tuple[str, ...] = ()

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value; None when nothing is."""
        if value is None and self.nullable:
            return None
        if not isinstance(value, _KINDS[self.kind]):
            allowed = f"'{self.kind}', 'null'" if self.nullable else f"'{self.kind}'"
            return f"{value!r} is not of type {allowed}"
        if isinstance(value, list):
            return next((f"{item!r} is not of type 'string'" for item in value if not isinstance(item, str)), None)
        return self._text_complaint(value) if isinstance(value, str) else None

    def _text_complaint(self, value: str) -> str | None:
        if len(value) < self.shortest:
            return f"{value!r} is too short" if value else "'' should be non-empty"
        if self.longest is not None and len(value) > self.longest:
            return f"{value!r} is too long"
        if self.pattern and not re.search(self.pattern, value):
            return f"{value!r} does not match {self.pattern!r}"
        if self.choices and value not in self.choices:
            return f"{value!r} is not one of {list(self.choices)!r}"
        return None


Fields = Mapping[str, Field]


def named(longest: int = 255, *, required: bool = True) -> Field:
    """A name: something other than white space."""
    return Field(required=required, shortest=1, longest=longest, pattern=r"[\S]+")


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object, {} when there is none. Raises Invalid."""
    raw = await request.read()
    if not raw:
        return {}
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in ("", "application/json") and not content_type.endswith("+json"):
        raise missing("application/json", "Content-Type header")
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise missing("valid JSON", "request body") from error
    if not isinstance(body, dict):
        raise missing("valid JSON", "request body")
    return body


async def read_member(request: web.Request, member: str) -> dict[str, Any]:
    """The object that the body holds under `member`. Raises Invalid."""
    body = await read_object(request)
    if member not in body:
        raise Invalid(reason=f"'{member}' is a required property")
    return an_object(body, member)


def an_object(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object under a name, {} when it is not there. Raises Invalid when it is something else."""
    value = holder.get(name, {})
    _refuse(name, value, Field("object").complaint(value))
    found: dict[str, Any] = value
    return found


def a_text(holder: Mapping[str, Any], name: str) -> str | None:
    """The text under a name, None when it is not there. Raises Invalid when it is something else."""
    value = holder.get(name)
    if value is None:
        return None
    _refuse(name, value, Field().complaint(value))
    return str(value)


def check(body: Mapping[str, Any], fields: Fields, *, is_new: bool) -> None:
    """Raises Invalid naming the attribute that is missing or wrong."""
    for name, field in fields.items():
        if name in body:
            _refuse(name, body[name], field.complaint(body[name]))
        elif field.required and is_new:
            raise Invalid(reason=f"'{name}' is a required property")
    if not body:
        raise Invalid(reason="{} does not have enough properties")


def sort_out(body: Mapping[str, Any], fields: Fields) -> tuple[dict[str, Any], dict[str, Any]]:
    """A checked body as the attributes that `fields` names, and the others."""
    ours = {name: value for name, value in body.items() if name in fields}
    others = {name: value for name, value in body.items() if name not in fields and name not in ("id", "links")}
    return ours, others


def _refuse(name: str, value: object, complaint: str | None) -> None:
    if complaint:
        is_secret = any(word in name.lower() for word in _SECRET)
        shown = "***" if is_secret else value
        words = "it is not of the right form" if is_secret else complaint
        raise Invalid(reason=f"Invalid input for field/attribute {name}. Value: {shown}. {words}")
