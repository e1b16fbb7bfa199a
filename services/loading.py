"""Loading a program faster."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Rest the garbage collector while the block imports: modules stay for good, and it would look at all of them over and over."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
