"""Answers in XML: one form for each kind of value, and nothing in it that a parser would refuse."""

from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree as Et

from hypothesis import given
from hypothesis import strategies as st

from services.api.ec2.xml import refusal, response

VERSION = "2016-11-15"
NAMESPACE = "{http://ec2.amazonaws.com/doc/2016-11-15/}"


def body(tree: dict[str, object]) -> str:
    found = response("DescribeThings", VERSION, "req-1", tree)  # type: ignore[arg-type]
    assert (found.status, found.content_type, found.charset) == (200, "text/xml", "UTF-8")
    assert isinstance(found.body, bytes)
    return found.body.decode()


def test_every_kind_of_value_has_its_form() -> None:
    moment = datetime(2014, 4, 17, 14, 0, 0, 123456, timezone(timedelta(hours=2)))

    text = body({"set": [{"name": "a<b"}, {"name": None}], "none": [], "yes": True, "count": 7, "at": moment})

    assert text == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<DescribeThingsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>req-1</requestId>'
        "<set><item><name>a&lt;b</name></item><item/></set><none/><yes>true</yes><count>7</count>"
        "<at>2014-04-17T12:00:00.123Z</at></DescribeThingsResponse>"
    )


def test_a_refusal_has_a_code_a_sentence_and_the_requests_id() -> None:
    found = refusal("InvalidAction", "no <such> action", "req-2", 400)

    assert found.status == 400
    assert isinstance(found.body, bytes)
    root = Et.fromstring(found.body)
    assert root.findtext("Errors/Error/Code") == "InvalidAction"
    assert root.findtext("Errors/Error/Message") == "no <such> action"
    assert root.findtext("RequestID") == "req-2"


@given(st.text())
def test_any_text_is_carried_or_replaced(text: str) -> None:
    root = Et.fromstring(body({"name": text}))

    found = root.findtext(f"{NAMESPACE}name") or ""
    assert len(found.replace("\n", "")) <= len(text)
    if text.isprintable():
        assert found == text


def test_the_time_is_utc() -> None:
    assert "<at>2026-01-01T00:00:00.000Z</at>" in body({"at": datetime(2026, 1, 1, tzinfo=UTC)})
