"""Filters: wildcards that mean what they say, and never take long."""

import pytest

from services.api.ec2.errors import Ec2Error
from services.api.ec2.filters import filtered
from services.api.ec2.protocol import own_params

FIELDS = {"name": lambda thing: [thing]}


def found(pattern: str, *things: str) -> list[str]:
    params = own_params({"Filter.1.Name": "name", "Filter.1.Value.1": pattern})
    return filtered(things, params, FIELDS)


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        ("web", ["web"], ["Web", "web1", ""]),
        ("w*", ["web", "w"], ["aw"]),
        ("*b", ["web", "b"], ["bw"]),
        ("w?b", ["web", "w.b"], ["wb", "weeb"]),
        ("*", ["", "anything\nat all"], []),
        ("a*b*c", ["abc", "a-b-bc"], ["acb"]),
        ("\\*", ["*"], ["x"]),
        ("\\?", ["?"], ["x"]),
        ("a.c[b]", ["a.c[b]"], ["abcb"]),
        ("**", ["", "x"], []),
        ("a\\", ["a\\"], ["a"]),
    ],
)
def test_a_wildcard_fits_what_it_stands_for(pattern: str, fits: list[str], fails: list[str]) -> None:
    assert found(pattern, *fits, *fails) == fits


def test_many_wildcards_do_not_take_long() -> None:
    assert found("*a" * 120, "a" * 119 + "b" * 60_000) == []


def test_wildcards_have_a_measure_that_plain_values_have_not() -> None:
    wild = {f"Filter.1.Value.{number}": f"*{'a' * 200}b{number}" for number in range(1, 12)}
    plain = {f"Filter.1.Value.{number}": f"{'a' * 200}b{number}" for number in range(1, 200)}

    with pytest.raises(Ec2Error) as refused:
        filtered(["a"], own_params({"Filter.1.Name": "name"} | wild), FIELDS)

    assert refused.value.code == "FilterLimitExceeded"
    assert filtered(["a" * 200 + "b7", "a"], own_params({"Filter.1.Name": "name"} | plain), FIELDS) == [
        "a" * 200 + "b7"
    ]


def test_all_filters_must_fit_and_of_each_one_value() -> None:
    asked = {"Filter.1.Name": "name", "Filter.1.Value.1": "a*", "Filter.1.Value.2": "b*"}
    asked |= {"Filter.2.Name": "name", "Filter.2.Value.1": "*z"}

    assert filtered(["az", "bz", "cz", "ay"], own_params(asked), FIELDS) == ["az", "bz"]


@pytest.mark.parametrize(
    "asked",
    [
        {"Filter.1.Name": "colour", "Filter.1.Value.1": "red"},
        {"Filter.1.Name": "name", "Filter.1.Value.1": "x" * 256},
        {"Filter.1.Name": "name"} | {f"Filter.1.Value.{number}": "x" for number in range(201)},
        {f"Filter.{number}.Name": "name" for number in range(51)},
    ],
    ids=["unknown", "long", "many values", "many filters"],
)
def test_what_is_no_filter_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(Ec2Error) as refused:
        filtered(["a"], own_params(asked), FIELDS)

    assert refused.value.code == "InvalidParameterValue"
