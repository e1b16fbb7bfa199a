"""No secret and no control character of a message reaches a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.masking import MASK, beginning, masked, masked_text, printable

SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "password", "admin_password", "adminPass", "admin_pass", "token", "auth_token", "X-Auth-Token", "user_data", "userData",
        "secret", "client_secret_key", "_context_service_catalog", "serviceCatalog", "credentials", "private_key", "Authorization",
        "injected_files", "personality", "contents", "PASSWD", "api-key",
    ],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_masked_whatever_it_holds_and_wherever_it_is(name: str) -> None:
    for value in (SECRET, [SECRET], {"a": SECRET}, 7):
        shown = masked({"a": [{"b": {name: value}}], "server_id": "s"})

        assert shown == {"a": [{"b": {name: MASK}}], "server_id": "s"}


def test_what_is_no_secret_stays() -> None:
    value = {
        "server_id": "s",
        "task_id": "t",
        "spec": {"flavor": {"ram_mb": 512}},
        "tried": ["h1"],
        "hard": False,
        "n": None,
    }

    assert masked(value) == value


def test_an_empty_secret_is_shown_as_empty() -> None:
    assert masked({"token": "", "user_data": None, "files": []}) == {"token": "", "user_data": None, "files": []}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://novaflow:hunter2@broker/", f"amqp://novaflow:{MASK}@broker/"),
        ("KeyError: token=hunter2, then more", f"KeyError: token={MASK}, then more"),
        ("{'admin_password': 'hunter2', 'x': 1}", f"{{'admin_password': {MASK}, 'x': 1}}"),
        ('X-Auth-Token: hunter2"', f"X-Auth-Token: {MASK}"),
        ("failed 4 times, last by OSError: no space", "failed 4 times, last by OSError: no space"),
    ],
)
def test_a_sentence_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    "body",
    [
        b'{"oslo.message": "{\\"method\\": \\"x\\", \\"admin_password\\": \\"hunter2',
        b'{"_context_auth_token": "hunter2"}',
        b"\xff\xfe user_data hunter2",
    ],
)
def test_of_an_unreadable_body_nothing_is_shown_from_a_secret_word_on(body: bytes) -> None:
    shown = beginning(body, 200)

    assert shown.endswith(MASK)
    assert SECRET not in shown


@given(text=st.text())
def test_nothing_that_a_terminal_would_obey_is_printed(text: str) -> None:
    assert printable(f"{text}\x1b[31m\r\n\x9b").isprintable()
    assert str(masked({text: text}))


def test_what_is_nested_too_deeply_for_anybody_is_cut() -> None:
    value: object = SECRET
    for _ in range(5000):
        value = [value]

    assert SECRET not in str(masked(value))
