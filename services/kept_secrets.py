"""Secrets that the first start makes up, kept in files that their owner alone can read.

A file appears whole or not at all, and the first of two processes that make it at once wins: both use what it holds.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def kept(path: Path, text: str) -> str:
    """What the file holds, `text` if it was not there. Raises OSError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = drafted(path, text)
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
        draft.unlink()
    return path.read_text()


def drafted(path: Path, text: str) -> Path:
    """A file beside `path` that only its owner can read, on disk with all of `text`. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft
