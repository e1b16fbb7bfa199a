"""Which flavors a list shows, and in which order."""

import pytest

from novaflow.errors import Invalid
from novaflow.models import Flavor
from novaflow.operations.flavors import SORT_KEYS, FlavorQuery, select

TINY = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)
SMALL = Flavor(id="2", name="m1.small", vcpus=1, ram_mb=2048, disk_gb=20)
SECRET = Flavor(id="secret", name="a.secret", vcpus=8, ram_mb=4096, disk_gb=0, is_public=False)
OLD = Flavor(id="0", name="old", vcpus=2, ram_mb=1024, disk_gb=10, is_disabled=True)
ALL = [SMALL, SECRET, TINY, OLD]


def chosen(query: FlavorQuery, *, is_admin: bool = True) -> list[str]:
    return [flavor.id for flavor in select(ALL, query, is_admin=is_admin)]


def test_they_come_by_id_unless_asked_otherwise() -> None:
    assert chosen(FlavorQuery()) == ["0", "1", "2", "secret"]


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("name", ["secret", "2", "1", "0"]),
        ("memory_mb", ["1", "0", "2", "secret"]),
        ("vcpus", ["1", "2", "0", "secret"]),
        ("root_gb", ["secret", "1", "0", "2"]),
        ("disabled", ["1", "2", "secret", "0"]),
        ("is_public", ["secret", "0", "1", "2"]),
    ],
)
def test_they_are_sorted_and_equals_by_id(key: str, order: list[str]) -> None:
    assert chosen(FlavorQuery(sort_key=key)) == order


@pytest.mark.parametrize("key", SORT_KEYS)
def test_every_key_sorts_both_ways_without_losing_any(key: str) -> None:
    assert sorted(chosen(FlavorQuery(sort_key=key, is_descending=True))) == sorted(chosen(FlavorQuery(sort_key=key)))


def test_the_largest_come_first_when_descending() -> None:
    assert chosen(FlavorQuery(sort_key="memory_mb", is_descending=True)) == ["secret", "2", "0", "1"]


def test_too_small_ones_are_left_out() -> None:
    assert chosen(FlavorQuery(min_ram_mb=1024)) == ["0", "2", "secret"]
    assert chosen(FlavorQuery(min_disk_gb=10)) == ["0", "2"]


def test_only_administrators_see_disabled_ones() -> None:
    assert chosen(FlavorQuery(), is_admin=False) == ["1", "2", "secret"]


def test_administrators_may_ask_for_private_ones_only() -> None:
    assert chosen(FlavorQuery(is_public=False)) == ["secret"]
    assert chosen(FlavorQuery(is_public=None)) == ["0", "1", "2", "secret"]
    assert chosen(FlavorQuery(is_public=False), is_admin=False) == ["1", "2", "secret"]


def test_pages_follow_each_other_without_gap_or_repeat() -> None:
    first = chosen(FlavorQuery(limit=3))
    second = chosen(FlavorQuery(limit=3, marker=first[-1]))

    assert first + second == ["0", "1", "2", "secret"]
    assert chosen(FlavorQuery(limit=3, marker="secret")) == []
    assert chosen(FlavorQuery(limit=0)) == []


def test_an_unknown_marker_is_refused() -> None:
    with pytest.raises(Invalid, match=r"^marker \[nope\] not found$"):
        chosen(FlavorQuery(marker="nope"))
