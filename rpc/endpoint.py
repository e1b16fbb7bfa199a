"""What a server answers to: a procedure, its handler, and the strict reading of a request for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from rpc.envelope import UNREADABLE, Envelope, Kind, Request, Stage, context_of, deadline_of, decode_members, trace_of
from rpc.errors import BadMessage, UnsupportedVersion
from rpc.metrics import ProcedureMetrics
from rpc.procedure import Target
from rpc.settings import Policy
from rpc.transport import Destination

Handler = Callable[[Any], Awaitable[Any]]

_CONTEXT: Final = "context"


def _parts(version: str) -> tuple[int, int] | None:
    parts = version.split(".")
    if len(parts) < 2 or not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        return None
    return int(parts[0]), int(parts[1])


class Versions:
    """The versions of one topic. A procedure has the version that it came with; the topic has its latest."""

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}

    def add(self, version: str) -> None:
        """Serve a procedure of this version; raises ValueError for what is none."""
        parts = _parts(version)
        if parts is None:
            raise ValueError(f"{version!r} is no version: it must be major.minor")
        major, minor = parts
        self._latest[major] = max(minor, self._latest.get(major, 0))

    def serves(self, have: str, asked: str) -> bool:
        """oslo.messaging's rule: the same major version, and a minor version not above the topic's."""
        mine, wanted = _parts(have), _parts(asked)
        return mine is not None and wanted is not None and mine[0] == wanted[0] and wanted[1] <= self._latest[mine[0]]


class Endpoint:
    """One procedure as it is served. `slots` bounds how many of its handlers run at a time, where that is wanted."""

    def __init__(
        self,
        kind: Kind,
        procedure: Target,
        request: type[Any],
        handler: Handler,
        *,
        policy: Policy,
        metrics: ProcedureMetrics,
        versions: "Versions",
    ) -> None:
        self.kind: Final = kind
        self.handler: Final = handler
        self.policy: Final = policy
        self.metrics: Final = metrics
        self.name: Final = procedure.name
        self.slots: Final = None if policy.concurrency is None else asyncio.Semaphore(policy.concurrency)
        self._version = procedure.version
        self._versions = versions
        self._decode = msgspec.json.Decoder(request).decode
        self._fields = frozenset(field.encode_name for field in msgspec.structs.fields(request))
        self._is_contextual = _CONTEXT in self._fields

    def read(self, request: Request, source: Destination) -> Any:
        """The typed request; raises BadMessage for whatever does not fit exactly."""
        if self.kind is not Kind.CALL or request.msg_id is None:
            kind = _kind(request, source)
            if kind is not self.kind:
                raise BadMessage(f"{self.name} is a {self.kind}, not a {kind}")
        if request.namespace is not None:
            raise UnsupportedVersion(f"{self.name}: namespace {request.namespace[:100]!r} is not served")
        if request.version != self._version and not self._versions.serves(self._version, request.version):
            raise UnsupportedVersion(f"{self.name} {request.version[:20]} is asked for; {self._version} is served")
        args: Any = request.args
        try:
            given = decode_members(args)
        except (*UNREADABLE, TypeError) as error:
            raise BadMessage(f"args: {error}") from error
        try:
            if self._is_contextual and _CONTEXT not in given:
                context = context_of(request)
                if context is not None:
                    args = b'{"context":' + context + (b"," if given else b"") + bytes(args).lstrip()[1:]
            if not given.keys() <= self._fields:
                surplus = ", ".join(sorted(given.keys() - self._fields))
                raise BadMessage(f"{self.name}: surplus arguments {surplus[:200]}")
            return self._decode(args)
        except UNREADABLE as error:
            raise BadMessage(f"{self.name}: {error}") from error

    def envelope(
        self, request: Request, ask: object, headers: Mapping[str, object], source: Destination, retries: int
    ) -> Envelope:
        """What hooks and spans see of a request that was read."""
        return Envelope(
            kind=self.kind,
            stage=Stage.HANDLE,
            topic=source.topic,
            host=source.host,
            method=request.method,
            version=request.version,
            unique_id=request.unique_id,
            request=ask,
            msg_id=request.msg_id,
            reply_to=request.reply_to,
            traceparent=trace_of(headers),
            deadline=deadline_of(headers),
            retries=retries,
        )


def _kind(request: Request, source: Destination) -> Kind:
    """A request that wants an answer is a call, wherever it was found."""
    if request.msg_id is not None:
        return Kind.CALL
    return Kind.FANOUT if source.is_fanout else Kind.CAST
