"""Secrets that must be read again - an HMAC key cannot be kept as a hash - encrypted as Keystone encrypts credentials: Fernet.

The keys are lines of text, the newest first: that one seals, each of them opens. Processes may be a rotation apart: whoever meets
a secret that none of his keys opens reads the keys again, and what he sealed with the key before last is opened still.
"""

from collections.abc import Callable
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from novaflow.errors import Invalid, ServiceUnavailable

KEPT_KEYS: Final = 3  # the newest, and those that secrets may still be sealed with (Keystone's MAX_ACTIVE_KEYS)


class Sealing:
    """Seals and opens secrets. `read` gives the text of the keys as it is now."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._keys = _parsed(read())

    def seal(self, secret: str) -> str:
        """The secret as it may be stored: ASCII, some 100 characters more than four thirds of it."""
        return self._keys.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret. Raises ServiceUnavailable if it was sealed with a key that is not here."""
        try:
            return self._opened(sealed)
        except InvalidToken:
            self._keys = _parsed(self._read())
        try:
            return self._opened(sealed)
        except InvalidToken as error:
            raise ServiceUnavailable(
                service="identity", reason="a credential is encrypted with a key that it does not have"
            ) from error

    def again(self, sealed: str) -> str:
        """The same secret, sealed with the newest key. Raises ServiceUnavailable."""
        return self.seal(self.open(sealed))

    def _opened(self, sealed: str) -> str:
        return self._keys.decrypt(sealed.encode()).decode()


def new_keys() -> str:
    """The text of one new key."""
    return f"{Fernet.generate_key().decode()}\n"


def rotated(text: str) -> str:
    """The keys with a new one in front; the oldest goes when there are too many. Raises Invalid."""
    _parsed(text)
    return "".join([new_keys(), *(f"{line}\n" for line in text.split()[: KEPT_KEYS - 1])])


def _parsed(text: str) -> MultiFernet:
    try:
        return MultiFernet([Fernet(line) for line in text.split()])
    except ValueError as error:
        raise Invalid(reason="the keys of credentials are not lines of 32 bytes in URL-safe base64") from error
