"""Files that their owner alone can read. Such a file appears whole or not at all, whoever dies while it is written."""

import os
import secrets
from pathlib import Path


def drafted(path: Path, text: str) -> Path:
    """A file beside `path` that only its owner can read, on disk with all of `text`. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def write_private(path: Path, text: str) -> Path:
    """Replace `path` by `text`, with mode 0600 from the first byte on. Raises OSError."""
    return drafted(path, text).replace(path)
