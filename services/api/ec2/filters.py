"""`Filter.1.Name=instance-state-name&Filter.1.Value.1=running`: which of the things found a client wants to see.

All filters must fit, and of each one of its values. Values may have wildcards, `*` and `?`, which a backslash makes plain.
Source: Amazon EC2 User Guide (listing and filtering).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.protocol import Params

T = TypeVar("T")
Field = Callable[[T], Iterable[str]]
"""The values that a thing has by the name of a filter."""

MAX_FILTERS: Final = 50
MAX_VALUES: Final = 200
MAX_WILD: Final = 2048  # characters of all values with wildcards: each is held against everything that there is
_LONGEST_VALUE: Final = 255
_WILD: Final = re.compile(r"[*?\\]")
_PIECES: Final = re.compile(r"\\.|[*?]|[^\\*?]+|\\", re.DOTALL)


def filtered(
    things: Iterable[T],
    params: Params,
    fields: Mapping[str, Field[T]],
    tags: Callable[[T], Mapping[str, str]] | None = None,
) -> list[T]:
    """The things that all filters in `params` fit; with `tags` things are also found by `tag:KEY`, `tag-key` and `tag-value`.

    Raises InvalidParameterValue for a filter that these things do not have, FilterLimitExceeded for wildcards without measure.
    """
    given = params.all_parts("Filter", most=MAX_FILTERS)
    if sum(len(value) for one in given for value in one.texts("Value") if _WILD.search(value)) > MAX_WILD:
        said = f"Values with wildcards have at most {MAX_WILD} characters together."
        raise Ec2Error("FilterLimitExceeded", said)
    wanted = [_filter(one, fields, tags) for one in given]
    return [thing for thing in things if all(fits(thing) for fits in wanted)]


def _filter(
    given: Params, fields: Mapping[str, Field[T]], tags: Callable[[T], Mapping[str, str]] | None
) -> Callable[[T], bool]:
    given.only(("Name", "Value"))
    name = given.text("Name")
    values = given.texts("Value", most=MAX_VALUES)
    if any(len(value) > _LONGEST_VALUE for value in values):
        raise invalid_value("Filter.Value", f"It has at most {_LONGEST_VALUE} characters.")
    plain = frozenset(value for value in values if not _WILD.search(value))
    pattern = _pattern([value for value in values if value not in plain])
    field = _field(name, fields, tags)
    return lambda thing: any(value in plain or pattern.fullmatch(value) for value in field(thing))


def _field(name: str, fields: Mapping[str, Field[T]], tags: Callable[[T], Mapping[str, str]] | None) -> Field[T]:
    if name in fields:
        return fields[name]
    if tags is not None:
        key = name.removeprefix("tag:")
        if key != name:
            return lambda thing: [value for one, value in tags(thing).items() if one == key]
        if name == "tag-key":
            return lambda thing: tags(thing).keys()
        if name == "tag-value":
            return lambda thing: tags(thing).values()
    raise Ec2Error("InvalidParameterValue", f"The filter '{name[:64]}' is invalid")


def _pattern(values: Sequence[str]) -> re.Pattern[str]:
    """What one of the values fits; nothing without values."""
    if not values:
        return re.compile(r"(?!)")
    return re.compile("|".join(f"(?:{_translated(value)})" for value in values), re.DOTALL)


def _translated(value: str) -> str:
    """One wildcard after the other, each settled at its first fit: so no pattern takes longer than its length times the text's."""
    parts = [""]
    for piece in _PIECES.findall(value):
        if piece == "*":
            parts.append("")
        else:
            parts[-1] += "." if piece == "?" else re.escape(piece[1:] if len(piece) > 1 and piece[0] == "\\" else piece)
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    return f"{first}{''.join(f'(?>.*?{one})' for one in middle)}.*{last}"
