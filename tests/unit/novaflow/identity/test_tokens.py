"""The form of tokens and audit ids."""

from datetime import UTC, datetime

import pytest

from novaflow.identity.tokens import audit_ids, digest, expiry, is_token, new_token


def test_a_token_is_32_hex_digits_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(is_token(token) and len(token) == 32 for token in tokens)


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "g" * 32, "0" * 31 + "\n", "\ud800" * 32])
def test_other_text_is_no_token(text: str) -> None:
    assert not is_token(text)


def test_a_token_is_stored_by_its_sha256() -> None:
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_chain_of_tokens_keeps_the_first_audit_id() -> None:
    first = audit_ids()
    second = audit_ids(first)
    third = audit_ids(second)

    assert [len(chain) for chain in (first, second, third)] == [1, 2, 2]
    assert second[1] == third[1] == first[0]
    assert len({first[0], second[0], third[0]}) == 3
    assert all(len(audit_id) == 22 for audit_id in third)


def test_a_token_ends_on_a_whole_second() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=UTC)

    assert expiry(now, 60) == datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)
