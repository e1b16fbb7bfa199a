"""Passwords: argon2id hashes, checked off the event loop, a few at a time.

A check costs the same whether the user exists or not, so the time of a refusal says nothing. A login that succeeded a moment ago
is remembered for a minute under a keyed hash of stored hash and password: the rate of tokens is then not bound by argon2,
and a changed password is never accepted from memory because the stored hash is part of the key. Parameters are
OWASP's minimum (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html).
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from novaflow.clock import Clock

T = TypeVar("T")

MEMORY_KIB: Final = 19456
PASSES: Final = 2
MAX_LENGTH: Final = 4096  # Keystone's max_password_length

_REMEMBERED_SECONDS: Final = 60.0
_REMEMBERED_LOGINS: Final = 1024
_AT_ONCE: Final = 2  # checks side by side; each takes MEMORY_KIB


class Passwords:
    """Makes and checks password hashes. Close it to end its threads."""

    def __init__(self, clock: Clock, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._clock = clock
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="password")
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._nobody = _unmatchable(memory_kib, passes)

    async def hash(self, password: str) -> str:
        """What to store for a password."""
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether `stored` was made from `password`; None (no such user, no password) costs as much and is False."""
        key = self._memory_key(password, stored) if stored is not None else None
        if key is not None and self._remembers(key):
            return True
        is_match = await self._run(lambda: self._verify(stored or self._nobody, password)) and stored is not None
        if is_match and key is not None:
            self._remember(key)
        return is_match

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters and should be made again at the next login."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    def _memory_key(self, password: str, stored: str) -> bytes:
        return hmac.digest(self._key, stored.encode() + b"\0" + _bytes(password), hashlib.sha256)

    def _remembers(self, key: bytes) -> bool:
        until = self._remembered.get(key)
        return until is not None and self._clock.monotonic() < until

    def _remember(self, key: bytes) -> None:
        self._remembered[key] = self._clock.monotonic() + _REMEMBERED_SECONDS
        self._remembered.move_to_end(key)
        while len(self._remembered) > _REMEMBERED_LOGINS:
            self._remembered.popitem(last=False)


def _bytes(password: str) -> bytes:
    """Any text at all, even what UTF-8 has no name for."""
    return password.encode("utf-8", "surrogatepass")


def _unmatchable(memory_kib: int, passes: int) -> str:
    """A well-formed hash of nothing, as costly to check as a real one."""
    salt, tag = (base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${tag}"
