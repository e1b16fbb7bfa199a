"""What can go wrong on the bus, and how an error of the application crosses it.

An application error crosses as a code and fields, never as a class name: the receiving side finds
the class in its own closed registry (`ErrorCodec`), so no message can name a class to import.
"""

from typing import Protocol


class BusError(Exception):
    """Something the bus itself could not do."""


class CallTimeout(BusError):
    """No reply came within the deadline of the call."""


class Unroutable(BusError):
    """No queue takes this message: there is no such topic, or no such host."""


class NotConnected(BusError):
    """The broker stayed away for as long as the message was allowed to wait."""


class Refused(BusError):
    """The broker is there and does not let us: wrong credentials, no such vhost, a queue of another delivery mode."""


class BadMessage(BusError):
    """A message that does not say what it must: broken JSON, unknown method, missing argument."""


class NoSuchMethod(BadMessage):
    """The topic has no such method. Named as oslo.messaging names it, so that its clients understand."""


class UnsupportedVersion(BadMessage):
    """The topic serves another version of the method. Named as oslo.messaging names it."""


class RemoteFailure(BusError):
    """The handler failed unexpectedly; its error has no counterpart here. Carries its type and text."""


class Away(BusError):
    """Something that a handler needs does not answer. Raised by the handler of a cast, whose message then comes again until it does."""


class Misconfigured(ValueError):
    """What we were told of the broker cannot be used. `field` is the name of the setting at fault; the text holds no secret."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class ErrorCodec(Protocol):
    """How the application's expected errors travel."""

    def encode(self, error: Exception) -> tuple[str, dict[str, object]] | None:
        """The code and the JSON-ready fields of an expected error; None for any other exception."""
        ...

    def decode(self, code: str, fields: dict[str, object]) -> Exception | None:
        """The error that `code` names, rebuilt; None when this side does not know the code."""
        ...
