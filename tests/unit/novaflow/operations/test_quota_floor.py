"""Between which bounds a limit may be set."""

import pytest

from novaflow.db.limits import Limits
from novaflow.db.quotas import Standing
from novaflow.errors import Invalid
from novaflow.operations.quotas import refuse_unsettable
from novaflow.quotas import QuotaLimits, Usage

LIMITS = Limits(QuotaLimits(instances=10, cores=20, ram=-1), {"cores": 4})
STANDING = Standing(
    limits=LIMITS,
    of_project=Usage(instances=3, cores=6, ram=2048, server_groups=2),
    of_user=Usage(instances=1, cores=2, ram=512),
    allotted={"cores": 9, "instances": 2},
)


@pytest.mark.parametrize(
    "changes",
    [{}, {"instances": 3}, {"instances": 4, "cores": 9, "ram": 2048}, {"instances": -1}, {"key_pairs": 0}],
)
def test_what_leaves_room_for_what_there_is_passes(changes: dict[str, int]) -> None:
    refuse_unsettable(changes, STANDING, user_id="")


@pytest.mark.parametrize(
    ("resource", "limit", "used"),
    [("instances", 2, 3), ("cores", 8, 9), ("ram", 2047, 2048), ("server_groups", 1, 2)],
    ids=["in use", "allotted to users", "memory", "groups"],
)
def test_less_than_is_in_use_is_refused_with_novas_words(resource: str, limit: int, used: int) -> None:
    text = f"Quota limit {limit} for {resource} must be greater than or equal to already used and reserved {used}."

    with pytest.raises(Invalid) as refused:
        refuse_unsettable({resource: limit}, STANDING, user_id="")

    assert str(refused.value) == text


@pytest.mark.parametrize("changes", [{"cores": 15}, {"cores": 2}, {"instances": 8}, {"ram": -1}, {"ram": 10**9}])
def test_a_user_may_get_what_the_others_left_of_the_project(changes: dict[str, int]) -> None:
    refuse_unsettable(changes, STANDING, user_id="alice")


@pytest.mark.parametrize(
    ("resource", "limit", "said"),
    [
        ("cores", 16, "must be less than or equal to 15."),
        ("cores", -1, "must be less than or equal to 15."),
        ("instances", 9, "must be less than or equal to 8."),
        ("cores", 1, "must be greater than or equal to already used and reserved 2."),
    ],
)
def test_more_than_that_or_less_than_he_has_is_refused(resource: str, limit: int, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        refuse_unsettable({resource: limit}, STANDING, user_id="alice")

    assert str(refused.value) == f"Quota limit {limit} for {resource} {said}"
