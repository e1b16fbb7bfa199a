import pytest

from rpc.dead_letters import printable, travelling
from rpc.envelope import DEADLINE, REASON, RETRIES, TRACEPARENT


def test_only_our_own_headers_go_on() -> None:
    assert travelling({TRACEPARENT: "00-a-b-01", DEADLINE: 5, RETRIES: 0, REASON: "old", "x": "y"}) == {
        TRACEPARENT: "00-a-b-01",
        DEADLINE: 5,
        RETRIES: 0,
    }


@pytest.mark.parametrize("value", [None, 1.5, b"x", ["x"], {"x": "y"}, "x" * 256], ids=lambda value: str(value)[:9])
def test_a_header_that_may_not_fit_or_cannot_be_sent_stays_behind(value: object) -> None:
    assert travelling({TRACEPARENT: value}) == {}


def test_any_text_can_be_printed_and_is_not_too_long() -> None:
    assert printable("a\udcffb") == "a?b"
    assert len(printable("x" * 5000)) == 1000
