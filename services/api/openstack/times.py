"""Times as the older parts of Nova's API show them: UTC, microseconds, no zone."""

from datetime import datetime
from typing import overload


@overload
def microseconds(moment: datetime) -> str: ...


@overload
def microseconds(moment: None) -> None: ...


def microseconds(moment: datetime | None) -> str | None:
    """A time such as `2026-08-01T12:00:00.000000`; null where there is none."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") if moment else None
