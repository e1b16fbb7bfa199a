"""Dead letters as people and programs see them: everything but the secrets (services.masking)."""

import json
from datetime import datetime, timedelta

from rpc.queues import DeadLetter
from rpc.tracing import Position
from services.masking import beginning, masked, masked_text, printable

_SHOWN_OF_A_BODY = 200  # bytes of one that cannot be read
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
# Which arguments say in one line what a message is about.
_TELLING = ("server_id", "task_id", "host", "event")
_LONGEST = 100  # characters of each


def facts(letter: DeadLetter) -> dict[str, object]:
    """The letter for programs."""
    return {
        "id": letter.id,
        "position": letter.position,
        "method": None if letter.method is None else printable(letter.method),
        "version": printable(letter.version),
        "queue": printable(letter.queue),
        "reason": masked_text(letter.reason),
        "retries": letter.retries,
        "dead_since": letter.dead_since.isoformat() if letter.dead_since else None,
        "unique_id": printable(letter.unique_id),
        "request_id": _request_id(letter),
        "bytes": len(letter.body),
        "arguments": masked(letter.arguments),
        "context": masked(letter.context),
        **({} if letter.is_readable else {"begins": beginning(letter.body, _SHOWN_OF_A_BODY)}),
    }


def summary(letter: DeadLetter, now: datetime) -> list[str]:
    """The letter in a few lines: what, where from, since when, why, and which server."""
    arguments = letter.arguments if isinstance(letter.arguments, dict) else {}
    telling = [f"{name}={printable(str(arguments[name]))[:_LONGEST]}" for name in _TELLING if arguments.get(name)]
    origin = f"from {printable(letter.queue)}" if letter.queue else "of unknown origin"
    return [
        f"{letter.id}  {_method(letter)}  {origin}, {_age(letter, now)}",
        f"  {masked_text(letter.reason) or 'no reason given'}",
        *([f"  {' '.join(telling)}"] if telling else []),
    ]


def details(letter: DeadLetter, now: datetime) -> list[str]:
    """The whole letter."""
    since = f" ({letter.dead_since:%Y-%m-%d %H:%M:%S} UTC)" if letter.dead_since else ""
    rows = {
        "message": letter.id,
        "method": f"{_method(letter)} {printable(letter.version)}".strip(),
        "from": printable(letter.queue) or "unknown",
        "dead": f"{_age(letter, now)}{since}",
        "reason": masked_text(letter.reason) or "none given",
        "retries": str(letter.retries),
        "unique id": printable(letter.unique_id) or "none",
        "request": _request_id(letter) or "unknown",
        "size": f"{len(letter.body):,} bytes",
    }
    lines = [f"{name:10} {value}" for name, value in rows.items()]
    if letter.is_readable:
        return [*lines, *_shown("arguments", letter.arguments), *_shown("context", letter.context)]
    return [*lines, f"{'begins':10} {beginning(letter.body, _SHOWN_OF_A_BODY) or 'nothing'}"]


def _shown(name: str, value: object) -> list[str]:
    return [name, *json.dumps(masked(value), indent=2, ensure_ascii=False).splitlines()]


def _method(letter: DeadLetter) -> str:
    return "unreadable" if letter.method is None else printable(letter.method)[:_LONGEST]


def _age(letter: DeadLetter, now: datetime) -> str:
    if letter.dead_since is None:
        return "age unknown"
    seconds = max(now - letter.dead_since, timedelta()).total_seconds()
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds // size:.0f} {unit} ago"


def _request_id(letter: DeadLetter) -> str | None:
    """The API request that caused the message: its trace id is the request's UUID."""
    position = Position.parse(letter.traceparent)
    if position is None:
        return None
    digits = position.trace_id
    return f"req-{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
