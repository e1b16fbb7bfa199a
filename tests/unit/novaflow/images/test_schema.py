"""Requests are checked as the jsonschema library would check them."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.errors import Invalid
from novaflow.images.schema import IMAGE, SCHEMAS, validate

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
USUAL = st.sampled_from(
    [
        *("raw", "qcow2", "bare", "public", "shared", "on", "x" * 255, "x" * 256),
        *("6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2", "6c2b7d2e"),
        *(None, True, 0, 1.0, 1.5, ["a"], ["x" * 256]),
    ]
)
DOCUMENTS = st.dictionaries(st.sampled_from([*IMAGE["properties"], "anything"]), USUAL | ANY, max_size=3)


@given(DOCUMENTS)
def test_every_document_is_judged_as_by_the_library(document: dict[str, Any]) -> None:
    errors = list(jsonschema.Draft7Validator(IMAGE).iter_errors(document))

    if not errors:
        validate(document)
    else:
        with pytest.raises(Invalid) as refusal:
            validate(document)
        assert any(error.message in refusal.value.reason for error in errors)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"name": 5}, ["5 is not of type 'null', 'string'", "On instance['name']"]),
        ({"name": "x" * 256}, ["is too long", "schema['properties']['name']"]),
        ({"visibility": "secret"}, ["'secret' is not one of ['community', 'private', 'public', 'shared']"]),
        ({"disk_format": "floppy"}, ["'floppy' is not one of", "On instance['disk_format']"]),
        ({"min_ram": "much"}, ["'much' is not of type 'integer'"]),
        ({"id": "nope"}, ["'nope' does not match"]),
        ({"tags": ["ok", 7]}, ["7 is not of type 'string'", "On instance['tags'][1]"]),
        ({"colour": 7}, ["7 is not of type 'string'", "On instance['colour']"]),
    ],
)
def test_a_refusal_names_the_property_and_says_what_is_wrong(document: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Invalid) as refusal:
        validate(document)

    assert refusal.value.reason.startswith("Provided object does not match schema 'image': ")
    assert all(word in refusal.value.reason for word in words)


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_served_is_a_schema(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMAS[name])
