"""What a request body may say: small checks that are put together, one per form of value.

A check takes a value and answers it in its final type, or raises Mismatch; `validate` turns that into Invalid with the text
Nova gives, which is jsonschema's: "Invalid input for field/attribute name. Value: . '' is too short".
Source: nova/api/validation/validators.py, nova/api/validation/parameter_types.py.
"""

import base64
import binascii
import ipaddress
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from novaflow.errors import Invalid

Check = Callable[[object], Any]

_YES: Final = (True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
_NO: Final = (False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")
_SHOWN_CHARACTERS: Final = 256  # of a refused value: an error is no echo of a whole body


class Mismatch(Exception):
    """A value is not of the form asked for. `field` is the innermost one that holds it; a `whole` reason stands alone."""

    def __init__(self, value: object, reason: str, *, whole: bool = False) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason
        self.whole = whole
        self.field: str | int | None = None


def validate(value: object, check: Check, where: str = "field/attribute") -> Any:
    """`value` as `check` reads it; raises Invalid naming the field, what it held, and what is wrong with that."""
    try:
        return check(value)
    except Mismatch as mismatch:
        if mismatch.whole or mismatch.field is None:
            raise Invalid(reason=mismatch.reason) from None
        shown = _short(str(mismatch.value))
        raise Invalid(reason=f"Invalid input for {where} {mismatch.field}. Value: {shown}. {mismatch.reason}") from None


def text(
    *,
    min_length: int = 0,
    max_length: int | None = None,
    pattern: str | None = None,
    secret: bool = False,
) -> Check:
    """A string that `pattern` matches from end to end; a `secret` one is never repeated in an error."""
    matches = re.compile(pattern).fullmatch if pattern else None

    def check(value: object) -> str:
        shown = "***" if secret else value
        if not isinstance(value, str):
            raise Mismatch(shown, f"{_quoted(shown)} is not of type 'string'")
        if len(value) < min_length:
            raise Mismatch(shown, f"{_quoted(shown)} is too short")
        if max_length is not None and len(value) > max_length:
            raise Mismatch(shown, f"{_quoted(shown)} is too long")
        if matches and not matches(value):
            raise Mismatch(shown, f"{_quoted(shown)} does not match {pattern!r}")
        return value

    return check


def name(max_length: int = 255) -> Check:
    """A name: printable characters, no white space at its ends, not empty."""
    sized = text(min_length=1, max_length=max_length)

    def check(value: object) -> str:
        checked: str = sized(value)
        if checked != checked.strip() or not all(_is_printable(character) for character in checked):
            said = "printable characters. Can not start or end with whitespace."
            raise Mismatch(value, f"An invalid 'name' value was provided. The name must be: {said}", whole=True)
        return checked

    return check


def integer(minimum: int | None = None, maximum: int | None = None) -> Check:
    """A whole number; as Nova, also one that is written as a string of digits."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise Mismatch(value, f"{_quoted(value)} is not of type 'integer', 'string'")
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise Mismatch(value, f"{_quoted(value)} does not match '^-?[0-9]+$'")
        number = int(value)
        if minimum is not None and number < minimum:
            raise Mismatch(value, f"{number} is less than the minimum of {minimum}")
        if maximum is not None and number > maximum:
            raise Mismatch(value, f"{number} is greater than the maximum of {maximum}")
        return number

    return check


def boolean(value: object) -> bool:
    """True or false, in any of the spellings that Nova takes."""
    for allowed, meaning in ((_YES, True), (_NO, False)):
        if any(value == one and type(value) is type(one) for one in allowed):
            return meaning
    raise Mismatch(value, f"{_quoted(value)} is not one of {[*_YES, *_NO]!r}")


def choice(*allowed: str) -> Check:
    """One of the given strings."""

    def check(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise Mismatch(value, f"{_quoted(value)} is not one of {list(allowed)!r}")

    return check


def identifier(value: object) -> str:
    """A UUID, with or without its hyphens."""
    if not isinstance(value, str):
        raise Mismatch(value, f"{_quoted(value)} is not of type 'string'")
    if not is_uuid(value):
        raise Mismatch(value, f"{_quoted(value)} is not a 'uuid'")
    return value


def is_uuid(value: str) -> bool:
    """Whether this could be a UUID: 32 hex digits, hyphens between them or not."""
    try:
        return str(uuid.UUID(value)).replace("-", "") == value.replace("-", "").lower()
    except ValueError:
        return False


def encoded(max_length: int | None = None) -> Check:
    """A string in base64, at most `max_length` characters of it."""
    sized = text(max_length=max_length, secret=True)

    def check(value: object) -> str:
        checked: str = sized(value)
        try:
            base64.b64decode(re.sub(r"\s", "", checked), validate=True)
        except (binascii.Error, ValueError):
            raise Mismatch("***", "it is not a 'base64'") from None
        return checked

    return check


def ip_address(version: int | None = None) -> Check:
    """An IP address, of version 4, 6 or either."""
    kinds = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address, None: ipaddress.ip_address}
    parse: Callable[[str], object] = kinds[version]
    form = f"ipv{version}" if version else "ip address"

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise Mismatch(value, f"{_quoted(value)} is not of type 'string'")
        try:
            parse(value)
        except ValueError:
            raise Mismatch(value, f"{_quoted(value)} is not a {form!r}") from None
        return value

    return check


def anything(value: object) -> object:
    """Whatever it is."""
    return value


def optional(inner: Check) -> Check:
    """Null, or what `inner` takes."""

    def check(value: object) -> Any:
        return None if value is None else inner(value)

    return check


def either(*checks: Check) -> Check:
    """The first of the checks that takes the value; the last one's refusal otherwise."""

    def check(value: object) -> Any:
        for one in checks[:-1]:
            try:
                return one(value)
            except Mismatch:
                continue
        return checks[-1](value)

    return check


def array(item: Check, *, min_items: int = 0, max_items: int | None = None, is_unique: bool = False) -> Check:
    """A list of what `item` takes."""

    def check(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise Mismatch(value, f"{_quoted(value)} is not of type 'array'")
        if len(value) < min_items:
            raise Mismatch(value, f"{_quoted(value)} is too short")
        if max_items is not None and len(value) > max_items:
            raise Mismatch(value, f"{_quoted(value)} is too long")
        checked = [_inside(position, item, one) for position, one in enumerate(value)]
        if is_unique and any(one in checked[:position] for position, one in enumerate(checked)):
            raise Mismatch(value, f"{_quoted(value)} has non-unique elements")
        return checked

    return check


def record(fields: Mapping[str, Check], *, required: Sequence[str] = (), is_open: bool = False) -> Check:
    """An object with these fields and, unless it `is_open`, no others."""

    def check(value: object) -> dict[str, Any]:
        given = _object(value)
        for field in required:
            if field not in given:
                raise Mismatch(value, f"{field!r} is a required property")
        unknown = [field for field in given if field not in fields]
        if unknown and not is_open:
            raise Mismatch(value, _unexpected(unknown))
        checked = {field: _inside(field, fields[field], one) for field, one in given.items() if field in fields}
        return {**given, **checked}

    return check


def mapping(pattern: str, item: Check, *, min_items: int = 0, max_items: int | None = None) -> Check:
    """An object whose keys are free within `pattern` and whose values `item` takes."""
    matches = re.compile(pattern).fullmatch

    def check(value: object) -> dict[str, Any]:
        given = _object(value)
        unknown = [key for key in given if not matches(key)]
        if unknown:
            names = ", ".join(_quoted(key) for key in sorted(unknown)[:5])
            verb = "does" if len(unknown) == 1 else "do"
            raise Mismatch(value, f"{names} {verb} not match any of the regexes: {pattern!r}")
        if len(given) < min_items:
            raise Mismatch(value, f"{_quoted(value)} does not have enough properties")
        if max_items is not None and len(given) > max_items:
            raise Mismatch(value, f"{_quoted(value)} has too many properties")
        return {key: _inside(key, item, one) for key, one in given.items()}

    return check


METADATA_KEY: Final = r"^[a-zA-Z0-9-_:. ]{1,255}$"
METADATA: Final = mapping(METADATA_KEY, text(max_length=255))
"""Metadata of a server, an image, a flavor: short strings by short names."""


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch(value, f"{_quoted(value)} is not of type 'object'")
    return value


def _inside(key: str | int, check: Check, value: object) -> Any:
    try:
        return check(value)
    except Mismatch as mismatch:
        if mismatch.field is None:
            mismatch.field = key
        raise


def _unexpected(fields: Sequence[str]) -> str:
    names = ", ".join(_quoted(field) for field in sorted(fields)[:5])
    verb = "was" if len(fields) == 1 else "were"
    return f"Additional properties are not allowed ({names} {verb} unexpected)"


def _is_printable(character: str) -> bool:
    category = unicodedata.category(character)
    return not category.startswith("C") and (not category.startswith("Z") or category == "Zs")


def _quoted(value: object) -> str:
    return _short(repr(value))


def _short(shown: str) -> str:
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
