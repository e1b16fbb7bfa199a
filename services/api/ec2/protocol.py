"""EC2's query protocol: from `Filter.1.Name=tag:web&Filter.1.Value.1=yes` to nested parameters that are read by their types.

Everything is bounded before it is built: how many parameters there are, how deep and how long a list is, so that no request is larger
inside than it was on the wire. Source: Amazon EC2 API Reference (query requests), nova/api/ec2/ec2utils.py (dict_from_dotted_str).
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from services.api.ec2.errors import Ec2Error, invalid_value, missing_parameter

MAX_PARAMETERS: Final = 2000
MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 1000  # of one list
OLDEST: Final = "2010-08-31"
NEWEST: Final = "2016-11-15"

_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}|[0-9]{1,6}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_OF_THE_PROTOCOL: Final = frozenset(
    {
        "Action",
        "AWSAccessKeyId",
        "Expires",
        "SecurityToken",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "Timestamp",
        "Version",
    }
)


class Params:
    """Parameters of one level. A getter that is given no `default` raises MissingParameter when there is nothing."""

    def __init__(self, given: Mapping[str, Any], path: str = "") -> None:
        self._given = given
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def as_given(self) -> Mapping[str, Any]:
        """All of it, nested, as it was sent."""
        return self._given

    def text(self, name: str, default: str | None = None) -> str:
        """A text; raises InvalidParameterValue for anything nested."""
        found = self._given.get(name)
        if found is None or found == "":
            if default is None:
                raise missing_parameter(self._path + name)
            return default
        if not isinstance(found, str):
            raise invalid_value(self._path + name, "It has no parts.")
        return found

    def number(self, name: str, default: int | None = None, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """A whole number between `least` and `most`."""
        found = self.text(name, None if default is None else str(default))
        if not _NUMBER.fullmatch(found) or not least <= int(found) <= most:
            raise invalid_value(self._path + name, f"It is a number from {least} to {most}.")
        return int(found)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean: true or false, in any case, or 1 or 0."""
        found = self.text(name, str(default)).lower()
        if found not in ("true", "false", "1", "0"):
            raise invalid_value(self._path + name, "It is true or false.")
        return found in ("true", "1")

    def data(self, name: str, default: bytes | None = None, *, most: int) -> bytes:
        """Base64, decoded; raises InvalidParameterValue for what is none or has more than `most` bytes."""
        found = self.text(name, None if default is None else "")
        if not found:
            return default or b""
        try:
            decoded = base64.b64decode("".join(found.split()), validate=True)
        except (binascii.Error, ValueError):
            raise invalid_value(self._path + name, "It is not valid BASE64.") from None
        if len(decoded) > most:
            raise invalid_value(self._path + name, f"It is limited to {most} bytes.")
        return decoded

    def texts(self, name: str, *, most: int = MAX_ITEMS) -> list[str]:
        """A list of texts, `Name.1`, `Name.2` ...; a single `Name` is a list of one. Empty when there is none."""
        found = self._list(name, most)
        if not all(isinstance(one, str) for one in found):
            raise invalid_value(self._path + name, "Its items have no parts.")
        return found

    def some_texts(self, name: str, *, most: int = MAX_ITEMS) -> list[str]:
        """A list of texts that must have one; raises MissingParameter."""
        found = self.texts(name, most=most)
        if not found:
            raise missing_parameter(self._path + name)
        return found

    def parts(self, name: str) -> "Params":
        """What is below `Name.`; without any parts when there is nothing."""
        found = self._given.get(name, {})
        if not isinstance(found, dict):
            raise invalid_value(self._path + name, "It has named parts.")
        return Params(found, f"{self._path}{name}.")

    def all_parts(self, name: str, *, most: int = MAX_ITEMS) -> list["Params"]:
        """A list of things with parts: `Filter.1.Name`, `Filter.1.Value.1` ..."""
        found = self._list(name, most)
        if not all(isinstance(one, dict) for one in found):
            raise invalid_value(self._path + name, "Its items have named parts.")
        return [Params(one, f"{self._path}{name}.{number}.") for number, one in enumerate(found, 1)]

    def only(self, names: Collection[str]) -> None:
        """Raises UnknownParameter for a parameter of another name."""
        for name in self._given:
            if name not in names:
                raise Ec2Error("UnknownParameter", f"The parameter {self._path}{name} is not recognized")

    def _list(self, name: str, most: int) -> list[Any]:
        found = self._given.get(name, [])
        if isinstance(found, str):
            found = [found]
        if not isinstance(found, list):
            raise invalid_value(self._path + name, "It is a list whose items are numbered.")
        if len(found) > most:
            raise invalid_value(self._path + name, f"It has at most {most} items.")
        return found


def pairs(query: str) -> dict[str, str]:
    """The parameters as they were sent, decoded; raises MalformedQueryString, also for one that comes twice."""
    try:
        found = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise Ec2Error(
            "MalformedQueryString", "The query string cannot be read, or has too many parameters."
        ) from error
    given = dict(found)
    if len(given) != len(found):
        raise Ec2Error("MalformedQueryString", "The query string contains a parameter twice.")
    return given


def own_params(given: Mapping[str, str]) -> Params:
    """The parameters that are the action's own, nested; raises MalformedQueryString."""
    root: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _OF_THE_PROTOCOL and not name.lower().startswith("x-amz-"):
            _place(root, name, value)
    return Params({name: _listed(value) for name, value in root.items()})


def version_of(given: Mapping[str, str]) -> str:
    """The version of the API that is asked for; raises MissingParameter, NoSuchVersion."""
    version = given.get("Version")
    if not version:
        raise missing_parameter("Version")
    if not _VERSION.fullmatch(version) or not OLDEST <= version <= NEWEST:
        said = f"The requested version ({version[:32]}) of service AmazonEC2 does not exist: {OLDEST} to {NEWEST} do"
        raise Ec2Error("NoSuchVersion", said)
    return version


def _place(root: dict[str, Any], name: str, value: str) -> None:
    *path, last = name.split(".", MAX_DEPTH + 1)
    if len(path) >= MAX_DEPTH or not all(_SEGMENT.fullmatch(one) for one in (*path, last)):
        raise Ec2Error("MalformedQueryString", f"The name of a parameter cannot be read: {name[:64]}")
    here = root
    for step in path:
        here = here.setdefault(step, {})
        if not isinstance(here, dict):
            raise _both(name)
    if last in here:
        raise _both(name)
    here[last] = value


def _both(name: str) -> Ec2Error:
    return Ec2Error("MalformedQueryString", f"A parameter has both a value and parts: {name[:64]}")


def _listed(value: Any) -> Any:
    """Parts that are all numbered are a list in the order of their numbers, whatever was left out between them."""
    if not isinstance(value, dict):
        return value
    inside = {name: _listed(one) for name, one in value.items()}
    if all(name.isdigit() for name in inside):
        return [inside[name] for name in sorted(inside, key=int)]
    return inside
