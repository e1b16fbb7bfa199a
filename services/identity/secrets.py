"""Passwords and keys that the first start makes up, kept in files that their owner alone can read.

A file appears whole or not at all, and the first of two processes that make it at once wins: both use what it holds.
"""

import fcntl
import secrets
from pathlib import Path
from typing import Final

import msgspec

from novaflow.errors import Invalid
from novaflow.identity.credentials import SERVICE_FILE, SERVICE_USER, Credentials
from novaflow.identity.sealing import new_keys, rotated
from services.kept_secrets import kept
from services.private_files import write_private

ADMIN_FILE: Final = "admin-password"
SEALING_FILE: Final = "credential-keys"

_PASSWORD_BYTES: Final = 24


def admin_password(state_dir: Path) -> str:
    """The administrator's first password."""
    return kept(state_dir / ADMIN_FILE, f"{_new_password()}\n").strip()


def service_credentials(state_dir: Path, project: str) -> Credentials:
    """The services' credentials. Raises Invalid when the file is there and is not what it should be."""
    made = Credentials(username=SERVICE_USER, password=_new_password(), project=project)
    path = state_dir / SERVICE_FILE
    try:
        return msgspec.json.decode(kept(path, msgspec.json.encode(made).decode()), type=Credentials)
    except msgspec.DecodeError as error:
        raise Invalid(
            reason=f"{path} does not hold the services' credentials; delete it to have it made again"
        ) from error


def sealing_keys(state_dir: Path) -> str:
    """The keys that credentials are encrypted with."""
    return kept(state_dir / SEALING_FILE, new_keys())


def rotate_sealing_keys(state_dir: Path) -> None:
    """Put a new key in front of the others; of two that do this at once, one waits. Raises Invalid."""
    path = state_dir / SEALING_FILE
    sealing_keys(state_dir)
    with path.with_name(f".{path.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        write_private(path, rotated(path.read_text()))


def _new_password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)
