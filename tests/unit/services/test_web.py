"""What every HTTP service shares: its port, request ids and spans."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from rpc.tracing import Span, Tracer
from services.web import REQUEST_ID, PortTaken, onward, serving, traced

TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = "req-0af76519-16cd-43dd-8448-eb211c80319c"


class Spans:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.kept: list[Span] = []

    def record(self, span: Span) -> None:
        """Keep one span."""
        self.kept.append(span)


async def answer(request: web.Request) -> web.Response:
    """Tell the request its id, and what would be sent onward."""
    return web.json_response({"id": request[REQUEST_ID], **onward()})


async def refuse(request: web.Request) -> web.Response:
    """Refuse in aiohttp's way."""
    raise web.HTTPConflict


async def part(request: web.Request) -> web.Response:
    """Something below a path with a parameter."""
    return web.Response()


@asynccontextmanager
async def service(spans: Spans) -> AsyncIterator[str]:
    """A service that is traced; gives its address."""
    app = web.Application(middlewares=[traced(Tracer("image", spans))])
    app.router.add_get("/", answer)
    app.router.add_get("/no", refuse)
    app.router.add_get("/{project:[0-9]+}/parts/{name}", part)
    async with serving(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


async def get(url: str, **headers: str) -> tuple[aiohttp.ClientResponse, dict[str, str]]:
    """One request; gives the answer and its JSON, if there is any."""
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        is_json = response.content_type == "application/json"
        return response, (await response.json() if is_json else {})


async def test_every_answer_names_its_request_and_the_trace_has_the_same_id() -> None:
    spans = Spans()
    async with service(spans) as url:
        response, body = await get(url)

    request_id = response.headers["X-Openstack-Request-Id"]
    assert re.fullmatch(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id)
    assert response.headers["X-Compute-Request-Id"] == request_id == body["id"] == body["X-OpenStack-Request-ID"]
    (span,) = spans.kept
    assert (span.kind, span.name, span.attributes["status"]) == ("http.server", "GET /", 200)
    assert span.trace_id == request_id.removeprefix("req-").replace("-", "")
    assert span.parent_id is None


async def test_a_callers_trace_is_continued() -> None:
    spans = Spans()
    async with service(spans) as url:
        _, body = await get(url, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")

    (span,) = spans.kept
    assert (span.trace_id, span.parent_id) == (TRACE, "b7ad6b7169203331")
    assert body["id"] == REQUEST
    assert body["traceparent"] == f"00-{TRACE}-{span.span_id}-01"


@pytest.mark.parametrize("header", ["", "00", f"00-{TRACE}-0-01", f"00-{'0' * 32}-b7ad6b7169203331-01", "zz-" * 4])
async def test_a_malformed_traceparent_begins_a_new_trace(header: str) -> None:
    spans = Spans()
    async with service(spans) as url:
        response, _ = await get(url, traceparent=header)

    assert response.status == 200
    assert spans.kept[0].trace_id != TRACE
    assert spans.kept[0].parent_id is None


async def test_a_refusal_names_its_request_too() -> None:
    spans = Spans()
    async with service(spans) as url:
        response, _ = await get(f"{url}/no")

    assert response.status == 409
    assert response.headers["X-Openstack-Request-Id"].startswith("req-")
    assert spans.kept[0].attributes["status"] == 409


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("GET", "/12/parts/a%20b", ("GET", "/{project}/parts/{name}")),
        ("GET", "/nowhere/at/all", ("GET", "unmatched")),
        ("POST", "/no", ("POST", "unmatched")),
        ("PROPFIND", "/", ("other", "unmatched")),
    ],
)
async def test_a_request_is_told_by_its_route_whatever_clients_think_of(
    method: str, path: str, shown: tuple[str, str]
) -> None:
    spans = Spans()
    async with service(spans) as url, aiohttp.ClientSession() as http:
        (await http.request(method, f"{url}{path}")).release()

    (span,) = spans.kept
    assert (span.attributes["method"], span.attributes["route"]) == shown


async def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is in use"):
            async with serving(web.Application(), "127.0.0.1", port):
                pass


async def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1 port 0"):
        async with serving(web.Application(), "192.0.2.1", 0):
            pass
