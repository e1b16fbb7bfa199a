"""The part of the EC2 API that reads a request and has its signature checked, before whatever was asked for: at every path."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from aiohttp import web

from novaflow.errors import Unauthorized
from novaflow.identity.ec2_requests import SignedRequest
from novaflow.identity.ec2_signatures import verify
from novaflow.models import Context
from rpc.tracing import Discard, Tracer
from services.api.ec2.auth import signed_by_key
from services.api.ec2.errors import faults
from services.api.ec2.protocol import own_params
from services.api.ec2.requests import PARAMS, read_params
from services.web import serving, traced
from tests.support.compute_api import PEOPLE
from tests.support.ec2 import ACCESS, SECRET
from tests.support.quick_clock import QuickClock
from tests.support.wire import exchange

Understood = tuple[str, str, dict[str, object]]
"""What a request that came through is taken for: its verb, its action, and the action's parameters."""


@dataclass
class Gate:
    """The running gate, and what it let through."""

    port: int
    let_in: list[Understood] = field(default_factory=list)

    async def send(self, request: bytes) -> tuple[int, str, Understood | None]:
        """Status and body of the answer, and what the request was taken for if it came through."""
        self.let_in.clear()
        status, body = await exchange(self.port, request)
        return status, body.decode(), self.let_in[0] if self.let_in else None


class OneKey:
    """Knows ACCESS and its SECRET."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    async def verify(self, signed: SignedRequest, request_id: str) -> Context:
        msgspec.json.encode(signed)  # it has to reach the identity service
        if signed.access != ACCESS:
            raise Unauthorized
        verify(signed, SECRET, self._now)
        return PEOPLE["alice"]


@asynccontextmanager
async def gate(now: datetime) -> AsyncIterator[Gate]:
    """The gate for as long as the block runs, in which it is always the same time, and nobody waits."""
    gate, clock = Gate(0), QuickClock()

    async def answer(request: web.Request) -> web.Response:
        given = request[PARAMS]
        gate.let_in.append((request.method, given.get("Action", ""), dict(own_params(given).as_given())))
        return web.Response()

    app = web.Application(
        middlewares=[traced(Tracer("nova-api", Discard())), faults, read_params, signed_by_key(OneKey(now), clock)]
    )
    app.router.add_route("*", "/{any:.*}", answer)
    async with serving(app, "127.0.0.1", 0) as port:
        gate.port = port
        yield gate
