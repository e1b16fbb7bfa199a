"""Disks that have no room left, as whoever writes to them should hear of it."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def room_or(full: Callable[[str], Exception]) -> Iterator[None]:
    """In this block, when a file system has no room for what is written, raise what `full` makes of the kernel's words."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise full(os.strerror(error.errno or 0)) from error
        raise
