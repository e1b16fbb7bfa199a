"""What can be asked over the bus: a procedure is a typed constant.

A `Call` answers, a `Cast` does not, a `Fanout` reaches every server of a topic. The constant ties
the name on the wire to the type of the request (and of the reply), so a handler for another message
does not pass the type checker. `topic` is the queue, as in oslo.messaging; `at(host)` addresses the
one server of that topic on that host.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, Self, TypeVar

from rpc.settings import ProcedureSettings

Req = TypeVar("Req")
Res = TypeVar("Res")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a message goes and what it asks for there. `settings` is what its author wants of the bus; users may want otherwise."""

    topic: str
    method: str
    version: str = "1.0"
    host: str | None = None
    settings: ProcedureSettings = ProcedureSettings()  # noqa: RUF009  # a frozen value

    @cached_property
    def name(self) -> str:
        """What people and programs call the procedure: `compute.build_and_run_instance`."""
        return f"{self.topic}.{self.method}"

    def at(self, host: str) -> Self:
        """The same procedure, addressed to the server of its topic on one host."""
        return replace(self, host=host)


@dataclass(frozen=True, kw_only=True)
class Call(Target, Generic[Req, Res]):
    """Ask and wait for the answer, at most `timeout` seconds; the deadline travels with the message."""

    request: type[Req]
    reply: type[Res]
    timeout: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Cast(Target, Generic[Req]):
    """Order and go on: once `Bus.cast` returns, the transport has accepted the message."""

    request: type[Req]


@dataclass(frozen=True, kw_only=True)
class Fanout(Target, Generic[Req]):
    """Tell every server of a topic; who is not there does not hear it."""

    request: type[Req]
