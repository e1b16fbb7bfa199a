"""What is to be known of aio_pika and aiormq by all who use them: what they log, how they say no, and how they close."""

import asyncio
import logging
from collections.abc import Awaitable

from aio_pika.exceptions import CONNECTION_EXCEPTIONS

_log = logging.getLogger(__name__)


def quiet_libraries() -> None:
    """Whatever goes wrong is raised or reported by us, once; the libraries' own tracebacks about it say nothing more."""
    for name in ("aio_pika", "aiormq"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)


def why(error: BaseException) -> str:
    """An AMQP library's error as text. None of them repeats the URL."""
    return f"{type(error).__name__}: {error}"


def is_cancelled() -> bool:
    """Did somebody cancel the current task, or is a CancelledError only aiormq's way of saying no?"""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def closed(closing: Awaitable[object], seconds: float) -> None:
    """Wait so long for a connection to close. That it was lost, or does not close, matters to nobody any more."""
    try:
        async with asyncio.timeout(seconds):
            await closing
    except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
        _log.debug("the connection did not close cleanly: %s", why(error))
    except asyncio.CancelledError:
        if is_cancelled():
            raise
