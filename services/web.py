"""What every HTTP service here shares: listening, request ids, spans, and JSON bodies.

A request id is `req-<uuid>`, as Nova's, and the trace id is the same UUID's hex, so the id a client sees finds the whole
trace. A caller that sends a W3C `traceparent` continues its own trace instead.
"""

import errno
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.hdrs import METH_ALL
from aiohttp.typedefs import Handler as Handler
from aiohttp.typedefs import Middleware as Middleware

from novaflow.models import Context
from rpc.tracing import CURRENT, Position, Span, Tracer
from services.vitals import UNMATCHED

# What the middlewares put into a request.
REQUEST_ID: Final = web.RequestKey("request_id", str)
SPAN: Final = web.RequestKey("span", Span)
CONTEXT: Final = web.RequestKey("context", Context)  # who asks; set by services.auth

_GRACE: Final = 5.0  # seconds an open request may take while the service stops
log = logging.getLogger(__name__)


class PortTaken(OSError):
    """Another program listens where a service should."""


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` while the block runs; gives the port (a free one for 0). Raises PortTaken naming host and port."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_GRACE)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            raise _explain(error, host, port) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _explain(error: OSError, host: str, port: int) -> OSError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(error.errno, f"port {port} on {host} is in use by another program")
    return OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror or error}")


def traced(tracer: Tracer) -> Middleware:
    """A middleware that names every request, records it as a span, and tells the client the id.

    Handlers find the id in `request[REQUEST_ID]` and the span in `request[SPAN]`.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        above, trace_id, request_id = _position(request)
        parent = above or Position(trace_id, "")
        with tracer.span("http.server", f"{request.method} {request.path}", parent=parent) as span:
            request[REQUEST_ID] = request_id
            request[SPAN] = span
            span.attributes |= {"request_id": request_id, "method": _method(request), "route": _route(request)}
            response = await _answer(request, handler, span)
            if not response.prepared:
                response.headers["X-Openstack-Request-Id"] = request_id
                response.headers["X-Compute-Request-Id"] = request_id
            return response

    return middleware


def _method(request: web.Request) -> str:
    """The method, if there is such a one: metrics have a series for each, and clients could think of any number."""
    return request.method if request.method in METH_ALL else "other"


def _route(request: web.Request) -> str:
    """The path as it was registered, with its parameters' names in place of what was given for them."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


async def _answer(request: web.Request, handler: Handler, span: Span) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        span.attributes["status"] = refusal.status
        refusal.headers["X-Openstack-Request-Id"] = request[REQUEST_ID]
        raise
    span.attributes["status"] = response.status
    if response.status >= HTTPStatus.BAD_REQUEST:
        span.outcome = HTTPStatus(response.status).phrase
    return response


def _position(request: web.Request) -> tuple[Position | None, str, str]:
    """The caller's position if it sent one, the trace id, and the request id that goes with it."""
    above = Position.parse(request.headers.get("traceparent", ""))
    trace_id = above.trace_id if above else uuid.uuid4().hex
    return above, trace_id, f"req-{uuid.UUID(trace_id)}"


def onward() -> dict[str, str]:
    """Headers that let the next service continue this trace."""
    here = CURRENT.get()
    if here is None:
        return {}
    return {
        "traceparent": here.traceparent,
        "X-OpenStack-Request-ID": f"req-{uuid.UUID(here.trace_id)}",
    }


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with `value` as JSON."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )
