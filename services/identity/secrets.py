"""Passwords and keys that the first start makes up, kept in files that their owner alone can read.

A file appears whole or not at all, and the first of two processes that make it at once wins: both use what it holds.
"""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from novaflow.errors import Invalid
from novaflow.identity.credentials import SERVICE_FILE, SERVICE_USER, Credentials
from novaflow.identity.sealing import new_keys, rotated

ADMIN_FILE: Final = "admin-password"
SEALING_FILE: Final = "credential-keys"

_PASSWORD_BYTES: Final = 24


def admin_password(state_dir: Path) -> str:
    """The administrator's first password."""
    return _kept(state_dir / ADMIN_FILE, f"{_new_password()}\n").strip()


def service_credentials(state_dir: Path, project: str) -> Credentials:
    """The services' credentials. Raises Invalid when the file is there and is not what it should be."""
    made = Credentials(username=SERVICE_USER, password=_new_password(), project=project)
    path = state_dir / SERVICE_FILE
    try:
        return msgspec.json.decode(_kept(path, msgspec.json.encode(made).decode()), type=Credentials)
    except msgspec.DecodeError as error:
        raise Invalid(
            reason=f"{path} does not hold the services' credentials; delete it to have it made again"
        ) from error


def sealing_keys(state_dir: Path) -> str:
    """The keys that credentials are encrypted with."""
    return _kept(state_dir / SEALING_FILE, new_keys())


def rotate_sealing_keys(state_dir: Path) -> None:
    """Put a new key in front of the others; of two that do this at once, one waits. Raises Invalid."""
    path = state_dir / SEALING_FILE
    sealing_keys(state_dir)
    with path.with_name(f".{path.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        _draft(path, rotated(path.read_text())).replace(path)


def _new_password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _kept(path: Path, text: str) -> str:
    """What the file holds, `text` if it was not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = _draft(path, text)
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
        draft.unlink()
    return path.read_text()


def _draft(path: Path, text: str) -> Path:
    """A file beside `path` that only its owner can read, on disk with all of `text`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft
