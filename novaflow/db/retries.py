"""Which database failures go away by themselves, and how long to wait before the next try."""

import random
import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError

# Error numbers: https://mariadb.com/kb/en/mariadb-error-code-reference/ and the client's CR_* (2xxx).
_PASSING: Final = {
    1020: "the record has changed",
    1040: "too many connections",
    1047: "the server is not part of its cluster now",  # Galera: no quorum, or still catching up
    1053: "the server is shutting down",
    1152: "the connection was aborted",
    1158: "the connection was lost",
    1159: "the connection timed out",
    1160: "the connection was lost",
    1161: "the connection timed out",
    1205: "a lock was not released in time",
    1213: "deadlock",
    1317: "the statement was interrupted",
    1927: "the connection was killed",
    2002: "the server cannot be reached",
    2003: "the server cannot be reached",
    2006: "the server has gone away",
    2013: "the connection was lost",
    2014: "the connection is out of step",
    2055: "the connection was lost",
}
_SQLITE_PASSING: Final = {5: "the file is locked by another process", 6: "a table is locked"}

_NO_SOCKET: Final = "does not expose socket"  # asyncmy, of a server that died between accepting and its greeting

_FIRST_DELAY: Final = 0.01  # seconds
_LONGEST_DELAY: Final = 2.0


def passing(error: BaseException) -> str | None:
    """Why this failure may be gone at the next try; None when a retry would meet it again."""
    if isinstance(error, OSError):  # TimeoutError is one
        return "the connection was lost"
    if isinstance(error, RuntimeError) and _NO_SOCKET in str(error):
        return "the server cannot be reached"
    if not isinstance(error, DBAPIError) or error.orig is None:
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _SQLITE_PASSING.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    number = error.orig.args[0] if error.orig.args else None
    if isinstance(number, int) and number in _PASSING:
        return _PASSING[number]
    lost = error.connection_invalidated or isinstance(error, InterfaceError)
    return "the connection was lost" if lost else None


def delay(attempt: int, dice: random.Random) -> float:
    """Seconds to wait after `attempt` (from 1) failed: doubling, with jitter so that two losers of a deadlock part."""
    return float(min(_LONGEST_DELAY, _FIRST_DELAY * 2**attempt) * dice.uniform(0.5, 1.0))
