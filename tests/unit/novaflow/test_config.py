"""etc/novaflow.toml is the documentation of every setting: nothing missing, nothing stale, a reason for each."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Config, Procedure, load

SAMPLE = Path(__file__).parents[3] / "etc" / "novaflow.toml"
ASSIGNMENT = re.compile(r"^(?P<key>\w+) = ")


def keys_of(section: msgspec.Struct, prefix: str = "") -> Iterator[str]:
    """The dotted path of every setting below `section`."""
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, msgspec.Struct):
            yield from keys_of(value, f"{prefix}{name}.")
        elif value != {}:  # a table whose keys are the user's has none of its own
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


def test_the_sample_of_one_procedure_is_valid_as_well(tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    start = lines.index('# [bus.procedures."compute.stop_instance"]')
    end = lines.index("", start)
    path = tmp_path / "novaflow.toml"
    path.write_text("\n".join(line.removeprefix("# ") for line in lines[start:end]))

    procedure = load(path).bus.procedures["compute.stop_instance"]

    assert procedure == Procedure(delivery="durable", retries=5, retry_delay=2.0, concurrency=16)
    assert set(procedure.__struct_fields__) == {line.split()[1] for line in lines[start + 1 : end]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("colour = 1", "unknown field `colour`"),
        ("[bus]\nprefech = 16", r"unknown field `prefech` - at `\$.bus`"),
        ("[quota]\ninstancess = 1", r"unknown field `instancess` - at `\$.quota`"),
        ('[bus.procedures."a.b"]\nretrys = 1', r"unknown field `retrys` - at `\$.bus.procedures\[...\]`"),
        ('[bus.procedures."a.b"]\nretries = -1', r"Expected `int` >= 0 - at `\$.bus.procedures\[...\].retries`"),
        (
            '[bus.procedures."a.b"]\nretry_delay = inf',
            r"`float` <= 86400.0 - at `\$.bus.procedures\[...\].retry_delay`",
        ),
        ('[bus.procedures."a.b"]\nretry_delay = nan', r"`float` >= 0.0 - at `\$.bus.procedures\[...\].retry_delay`"),
        ('[bus.procedures."a.b"]\nconcurrency = 0', r"`int` >= 1 - at `\$.bus.procedures\[...\].concurrency`"),
        ('[bus.procedures."a.b"]\ndelivery = "x"', r"enum value 'x' - at `\$.bus.procedures\[...\].delivery`"),
        ("[bus.procedures.a.b]\nretries = 1", r"unknown field `b` - at `\$.bus.procedures\[...\]`"),
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
