"""What request bodies may say, and what a client reads when they say something else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.errors import Invalid
from services.api.openstack import schema
from services.api.openstack.schema import Check, validate

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
SERVER = schema.record(
    {
        "name": schema.name(),
        "count": schema.integer(minimum=1),
        "files": schema.array(schema.record({"path": schema.text()}, required=("path",))),
        "metadata": schema.METADATA,
    },
    required=("name",),
)
BODY = schema.record({"server": SERVER}, required=("server",))


def refusal(value: object, check: Check = BODY) -> str:
    with pytest.raises(Invalid) as caught:
        validate(value, check)
    return str(caught.value)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"name": ""}, "Invalid input for field/attribute name. Value: . '' is too short"),
        ({"name": 1}, "Invalid input for field/attribute name. Value: 1. 1 is not of type 'string'"),
        (
            {},
            "Invalid input for field/attribute server. Value: {}. 'name' is a required property",
        ),
        (
            {"name": "a", "x": 1},
            (
                "Invalid input for field/attribute server. Value: {'name': 'a', 'x': 1}. "
                "Additional properties are not allowed ('x' was unexpected)"
            ),
        ),
        (
            {"name": " a"},
            (
                "An invalid 'name' value was provided. "
                "The name must be: printable characters. Can not start or end with whitespace."
            ),
        ),
        (
            {"name": "a", "count": 0},
            "Invalid input for field/attribute count. Value: 0. 0 is less than the minimum of 1",
        ),
        (
            {"name": "a", "files": [{"path": "/etc/motd"}, {}]},
            "Invalid input for field/attribute 1. Value: {}. 'path' is a required property",
        ),
        (
            {"name": "a", "metadata": {"a/b": "c"}},
            (
                "Invalid input for field/attribute metadata. Value: {'a/b': 'c'}. "
                "'a/b' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'"
            ),
        ),
    ],
)
def test_a_refusal_names_the_field_what_it_held_and_why(server: object, said: str) -> None:
    assert refusal({"server": server}) == said


def test_a_body_without_its_one_key_is_refused_as_a_whole() -> None:
    assert refusal({}) == "'server' is a required property"
    assert refusal({"server": {"name": "a"}, "b": 1, "a": 2}) == (
        "Additional properties are not allowed ('a', 'b' were unexpected)"
    )


@pytest.mark.parametrize("given_count", [3, "3"])
def test_a_number_may_be_written_as_a_string(given_count: object) -> None:
    assert validate({"name": "a", "count": given_count}, SERVER)["count"] == 3


@pytest.mark.parametrize("value", [True, 1.5, "1.5", "", "٣", "1" * 19, "-", None, []])
def test_what_is_no_number_is_refused(value: object) -> None:
    assert refusal({"count": value}, schema.record({"count": schema.integer()}))


@pytest.mark.parametrize(
    ("value", "meaning"), [(True, True), ("yes", True), ("1", True), (False, False), ("Off", False)]
)
def test_a_boolean_has_many_spellings(value: object, meaning: object) -> None:
    assert validate(value, schema.boolean) is meaning


@pytest.mark.parametrize("value", [1, 0, "maybe", None, "", []])
def test_but_not_any_spelling(value: object) -> None:
    assert "is not one of" in refusal(value, schema.boolean)


@pytest.mark.parametrize("value", ["5e5ab34d-a9d2-4a2f-a7f8-d5a1d8a2f7b0", "5E5AB34DA9D24A2FA7F8D5A1D8A2F7B0"])
def test_a_uuid_may_lack_its_hyphens(value: str) -> None:
    assert validate(value, schema.identifier) == value


@pytest.mark.parametrize("value", ["", "5e5ab34d", "{5e5ab34d-a9d2-4a2f-a7f8-d5a1d8a2f7b0}", "urn:uuid:x", 7])
def test_what_is_no_uuid_is_refused(value: object) -> None:
    assert "is not" in refusal(value, schema.identifier)


@pytest.mark.parametrize("value", ["IyEvYmluL3No", "IyEv\nYmlu\n", ""])
def test_base64_may_be_folded(value: str) -> None:
    assert validate(value, schema.encoded()) == value


@pytest.mark.parametrize("value", ["!", "abc", "YQ", "YQ=", "YQ==YQ", "é"])
def test_what_is_no_base64_is_refused_without_repeating_it(value: str) -> None:
    said = refusal({"user_data": value}, schema.record({"user_data": schema.encoded()}))

    assert said == "Invalid input for field/attribute user_data. Value: ***. it is not a 'base64'"


def test_a_secret_is_not_repeated() -> None:
    said = refusal({"adminPass": "hunter2"}, schema.record({"adminPass": schema.text(max_length=3, secret=True)}))

    assert said == "Invalid input for field/attribute adminPass. Value: ***. '***' is too long"


def test_a_large_value_is_cut_in_the_refusal() -> None:
    assert len(refusal({"server": {"name": "a" * 100_000}})) < 1000


def test_a_pattern_holds_to_the_very_end() -> None:
    assert "does not match" in refusal("a\n", schema.text(pattern=r"^[a-z]*$"))


def test_elements_may_have_to_differ() -> None:
    check = schema.array(schema.text(), is_unique=True)

    assert validate(["a", "b"], check) == ["a", "b"]
    assert refusal(["a", "a"], check) == "['a', 'a'] has non-unique elements"


@given(ANY_JSON)
def test_whatever_comes_is_read_or_refused_and_nothing_else(value: object) -> None:
    with contextlib.suppress(Invalid):
        assert validate({"server": value}, BODY).keys() == {"server"}
