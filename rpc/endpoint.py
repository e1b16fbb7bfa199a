"""What a server answers to: a procedure, its handler, and the strict reading of a request for it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from rpc.envelope import Envelope, Kind, arguments
from rpc.errors import BadMessage
from rpc.procedure import Target

Handler = Callable[[Any], Awaitable[Any]]


class Endpoint:
    """One procedure as it is served."""

    def __init__(self, kind: Kind, procedure: Target, request: type[Any], handler: Handler) -> None:
        self.kind: Final = kind
        self.handler: Final = handler
        self._procedure = procedure
        self._decode = msgspec.json.Decoder(request).decode
        self._fields = frozenset(field.encode_name for field in msgspec.structs.fields(request))

    def read(self, envelope: Envelope) -> Envelope:
        """The envelope with its request typed; raises BadMessage for whatever does not fit exactly."""
        if envelope.kind is not self.kind:
            raise BadMessage(f"{envelope.name} is a {self.kind}, not a {envelope.kind}")
        if not _serves(self._procedure.version, envelope.version):
            raise BadMessage(
                f"{envelope.name} {envelope.version[:20]} is asked for; {self._procedure.version} is served"
            )
        surplus = sorted(arguments(envelope.request).keys() - self._fields)
        if surplus:
            raise BadMessage(f"{envelope.name}: surplus arguments {', '.join(surplus)[:200]}")
        try:
            request = self._decode(envelope.request)  # type: ignore[arg-type]  # Raw is a buffer
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadMessage(f"{envelope.name}: {error}") from error
        return msgspec.structs.replace(envelope, request=request)


def _serves(served: str, asked: str) -> bool:
    """oslo.messaging's rule: the same major version, and a minor version not above the server's."""
    try:
        served_major, served_minor = (int(part) for part in served.split(".")[:2])
        asked_major, asked_minor = (int(part) for part in asked.split(".")[:2])
    except ValueError:
        return False
    return asked_major == served_major and asked_minor <= served_minor
