"""What a role amounts to with all that it implies."""

from hypothesis import given
from hypothesis import strategies as st

from novaflow.identity.roles import BOOTSTRAP_IMPLICATIONS, BOOTSTRAP_ROLES, effective

_ROLES = st.sampled_from("abcdef")
_PAIRS = st.lists(st.tuples(_ROLES, _ROLES))


def test_an_administrator_is_manager_member_and_reader_too() -> None:
    assert effective(["admin"], BOOTSTRAP_IMPLICATIONS) == ("admin", "manager", "member", "reader")
    assert effective(["reader"], BOOTSTRAP_IMPLICATIONS) == ("reader",)
    assert set(BOOTSTRAP_ROLES) - set(effective(["admin"], BOOTSTRAP_IMPLICATIONS)) == {"service"}


@given(st.lists(_ROLES), _PAIRS)
def test_implications_are_followed_to_the_end_even_in_circles(granted: list[str], pairs: list[tuple[str, str]]) -> None:
    found = effective(granted, pairs)

    assert len(found) == len(set(found))
    assert set(granted) <= set(found)
    assert all(implied in found for prior, implied in pairs if prior in found)
    assert all(role in granted or any(role == implied and prior in found for prior, implied in pairs) for role in found)
