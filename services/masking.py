"""What a person may see of a message: everything but its secrets.

A message carries what its handler needs: the token of who asked, the password the guest will have, the user's own data. Whoever
repairs a queue needs none of them. Masking goes by names, of which it rather takes one too many.
"""

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "***"

# Parts of names; whatever separates their words: `auth_token`, `adminPass`, `_context_service_catalog` are all meant.
_SECRET_NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "admin pass",
    "token",
    "secret",
    "credential",
    "authorization",
    "private key",
    "api key",
    "auth key",
    "user data",
    "service catalog",
    "injected files",
    "personality",
    "contents",
)
_SECRET: Final = re.compile("|".join(name.replace(" ", "[^A-Za-z0-9]?") for name in _SECRET_NAMES), re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_ASSIGNED: Final = re.compile(
    rf"((?:\w*(?:{_SECRET.pattern})\w*)[\"']?\s*[:=]\s*)(\"[^\"]*\"?|'[^']*'?|[^\s,;)}}\]]+)", re.IGNORECASE
)
_DEEPEST: Final = 50  # levels that anybody reads


def masked(value: object, depth: int = 0) -> object:
    """A JSON value with whatever is named like a secret masked, however deep; empty secrets stay, to show that they are."""
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {
            printable(str(name)): MASK if item and _SECRET.search(str(name)) else masked(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(item, depth + 1) for item in value]
    return masked_text(value) if isinstance(value, str) else value


def masked_text(text: str) -> str:
    """A sentence without passwords in URLs and without what it says of things named like a secret; safe for a terminal."""
    return printable(_ASSIGNED.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1{MASK}@", text)))


def beginning(body: bytes, length: int) -> str:
    """The beginning of a body that nobody could read, up to the first word that may announce a secret."""
    text = body[:length].decode(errors="replace")
    found = _SECRET.search(text)
    return printable(text[: found.start()] + MASK if found else text)


def printable(text: str) -> str:
    """Text that moves no cursor and changes no colour: what a terminal would obey is written as an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii", "replace")
        for character in text
    )
