"""etc/novaflow.toml is the documentation of every setting: nothing missing, nothing stale, a reason for each."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Config, load

SAMPLE = Path(__file__).parents[3] / "etc" / "novaflow.toml"
ASSIGNMENT = re.compile(r"^(?P<key>\w+) = ")


def keys_of(section: msgspec.Struct, prefix: str = "") -> Iterator[str]:
    """The dotted path of every setting below `section`."""
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, msgspec.Struct):
            yield from keys_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def keys_in(table: dict[str, object], prefix: str = "") -> Iterator[str]:
    """The dotted path of every key of a decoded TOML table."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from keys_in(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_sample_shows_every_default() -> None:
    assert load(SAMPLE) == Config()


def test_the_sample_has_every_key_and_no_other() -> None:
    shown = set(keys_in(tomllib.loads(SAMPLE.read_text())))

    assert shown == set(keys_of(Config()))


def test_every_key_and_every_section_says_why() -> None:
    lines = SAMPLE.read_text().splitlines()

    silent = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if (ASSIGNMENT.match(line) or line.startswith("[")) and not above.startswith("# ")
    ]

    assert silent == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("colour = 1", "unknown field `colour`"),
        ("[bus]\nprefech = 16", r"unknown field `prefech` - at `\$.bus`"),
        ("[quota]\ninstancess = 1", r"unknown field `instancess` - at `\$.quota`"),
        ('[api]\nport = "x"', r"Expected `int`, got `str` - at `\$.api.port`"),
    ],
)
def test_a_mistake_is_named_with_its_path(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "novaflow.toml"
    path.write_text(text)

    with pytest.raises(msgspec.ValidationError, match=complaint):
        load(path)


def test_services_find_each_other_where_they_listen_unless_told_otherwise() -> None:
    assert Config().identity_url == "http://127.0.0.1:5000"
    assert msgspec.convert({"image": {"url": "http://images.example"}}, Config).image_url == "http://images.example"
