"""Tokens of the UUID kind: 32 random hex digits that say nothing by themselves.

The database keeps the SHA-256 of a token, so whoever reads the table cannot use what he reads. An audit id names a token in
traces and logs without being one; a token made from another carries the first one's audit id too (Keystone's audit chain).
"""

import base64
import hashlib
import secrets
import string
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

_HEX: Final = frozenset(string.hexdigits)
_TOKEN_BYTES: Final = 16


def new_token() -> str:
    """A token no one can guess."""
    return secrets.token_hex(_TOKEN_BYTES)


def is_token(text: str) -> bool:
    """Could have been made by `new_token`; anything else need not be looked up."""
    return len(text) == 2 * _TOKEN_BYTES and _HEX.issuperset(text)


def digest(token: str) -> str:
    """The key a token is stored and cached by: 64 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def audit_ids(parents: Sequence[str] = ()) -> tuple[str, ...]:
    """A new audit id, followed by the first one of the chain it continues (keystone.token.provider, build_audit_info)."""
    return (new_audit_id(), *parents[-1:])


def new_audit_id() -> str:
    """22 URL-safe characters."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_TOKEN_BYTES)).rstrip(b"=").decode()


def expiry(now: datetime, seconds: int) -> datetime:
    """When a token issued now ends; whole seconds, as every version of the API shows it."""
    return now.replace(microsecond=0) + timedelta(seconds=seconds)
