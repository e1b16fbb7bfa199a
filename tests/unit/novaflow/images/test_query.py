"""What may be asked of the image list."""

from datetime import UTC, datetime

import pytest

from novaflow.errors import Invalid
from novaflow.images.query import Filter, ImageQuery, parse


def query(*pairs: tuple[str, str]) -> ImageQuery:
    return parse(pairs, project_id="p", is_admin=False)


def filters(*pairs: tuple[str, str]) -> set[tuple[str, str, object]]:
    return {(each.column, each.operator, each.value) for each in query(*pairs).filters}


def test_nothing_asked_is_the_newest_25_that_are_not_hidden() -> None:
    found = query()

    assert (found.limit, found.marker, found.order) == (25, None, (("created_at", "desc"), ("id", "desc")))
    assert found.filters == (Filter(column="os_hidden", operator="eq", value=False),)


def test_conditions_tags_and_properties_are_told_apart() -> None:
    found = query(("name", "a"), ("tag", " x "), ("tag", "y"), ("os_distro", "debian"), ("size_min", "5"))

    assert found.tags == ("x", "y")
    assert found.properties == (("os_distro", "debian"),)
    assert {each.column for each in found.filters} == {"name", "size", "os_hidden"}


@pytest.mark.parametrize(
    ("pair", "condition"),
    [
        (("name", "a"), ("name", "eq", "a")),
        (("name", "eq:a"), ("name", "eq", "a")),
        (("id", "in:a,b"), ("id", "in", ("a", "b"))),
        (("name", 'in:"a, b",c'), ("name", "in", ("a, b", "c"))),
        (("size_max", "9"), ("size", "lte", 9)),
        (("size_min", str(10**30)), ("size", "gte", 2**63 - 1)),
        (("min_ram", "64"), ("min_ram", "eq", 64)),
        (("protected", "true"), ("protected", "eq", True)),
        (("created_at", "gt:2026-01-02T03:04:05Z"), ("created_at", "gt", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))),
        (("updated_at", "2026-01-02T03:04:05"), ("updated_at", "eq", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))),
    ],
)
def test_a_parameter_becomes_a_condition(pair: tuple[str, str], condition: tuple[str, str, object]) -> None:
    assert condition in filters(pair)


@pytest.mark.parametrize(
    ("pairs", "order"),
    [
        ([("sort", "name:asc,size")], (("name", "asc"), ("size", "desc"), ("created_at", "desc"), ("id", "desc"))),
        ([("sort_key", "name"), ("sort_dir", "asc")], (("name", "asc"), ("created_at", "asc"), ("id", "asc"))),
        (
            [("sort_key", "name"), ("sort_key", "id"), ("sort_dir", "asc"), ("sort_dir", "desc")],
            (("name", "asc"), ("id", "desc"), ("created_at", "desc")),
        ),
    ],
)
def test_every_order_is_total(pairs: list[tuple[str, str]], order: tuple[tuple[str, str], ...]) -> None:
    assert query(*pairs).order == order


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("limit", "x")], "limit param must be an integer"),
        ([("limit", "-1")], "limit param must be positive"),
        ([("visibility", "secret")], "Invalid visibility value: secret"),
        ([("member_status", "maybe")], "Invalid status: maybe"),
        ([("os_hidden", "maybe")], "Invalid value 'maybe' for 'os_hidden' filter."),
        ([("protected", "maybe")], "Invalid value 'maybe' for 'protected' filter."),
        ([("changes-since", "2026")], "no longer available"),
        ([("sort", "colour")], "Invalid sort key: colour. It must be one of the following: name, status"),
        ([("sort", "name:up")], "Invalid sort direction: up"),
        ([("sort", "name"), ("sort_key", "id")], "Old and new sorting syntax cannot be combined"),
        (
            [("sort_key", "id"), ("sort_dir", "asc"), ("sort_dir", "desc")],
            "Number of sort dirs does not match the number of sort keys",
        ),
        ([("name", "like:x")], "Unable to filter by unknown operator 'like'."),
        ([("name", 'in:"a')], "The quote is not closed"),
        ([("size_min", "big")], "Unable to filter on a range with a non-numeric value."),
        ([("created_at", "gt:yesterday")], 'Bad "created_at" query filter format.'),
        ([("created_at", "around:2026-01-01")], "Unable to filter on a unknown operator."),
    ],
)
def test_nonsense_is_refused_by_name(pairs: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        query(*pairs)

    assert reason in refusal.value.reason


def test_a_page_has_at_most_a_thousand_images() -> None:
    assert query(("limit", "100000")).limit == 1000
