"""Identifiers of rows, made before they are written so that a write can be recognised when it runs again."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SEQUENCE: Final = count()


def row_id(now: datetime) -> str:
    """32 hex digits that sort by time: microseconds since 1970, a number that counts up within them, then chance."""
    return f"{(now - _EPOCH) // _MICROSECOND:014x}{next(_SEQUENCE) & 0xFFFF:04x}{secrets.token_hex(7)}"


def new_uuid() -> str:
    """A random UUID in its canonical form."""
    return str(uuid.uuid4())
