"""A quota may not be set below what is in use."""

import pytest

from novaflow.errors import Invalid
from novaflow.models import Usage
from novaflow.operations.quotas import refuse_below_usage

USED = Usage(instances=3, cores=6, ram=2048)


@pytest.mark.parametrize(
    "changes",
    [{}, {"instances": 3}, {"instances": 4, "cores": 6, "ram": 2048}, {"instances": -1}, {"key_pairs": 0}],
)
def test_what_leaves_room_for_what_there_is_passes(changes: dict[str, int]) -> None:
    refuse_below_usage(changes, USED)


@pytest.mark.parametrize(("resource", "limit", "used"), [("instances", 2, 3), ("cores", 0, 6), ("ram", 2047, 2048)])
def test_less_than_is_in_use_is_refused_with_novas_words(resource: str, limit: int, used: int) -> None:
    text = f"Quota limit {limit} for {resource} must be greater than or equal to already used and reserved {used}."

    with pytest.raises(Invalid) as refused:
        refuse_below_usage({resource: limit}, USED)

    assert str(refused.value) == text
