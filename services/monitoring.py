"""A process's listener for those who watch it: `/metrics` for Prometheus, `/healthz` for everybody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from novaflow.config import Metrics
from novaflow.errors import Invalid
from services.health import HealthCheck
from services.targets import announced
from services.vitals import Vitals
from services.web import PortTaken, json_response, serving

_NOT_KEPT: Final = {"Cache-Control": "no-store"}


@asynccontextmanager
async def monitored(settings: Metrics, vitals: Vitals, state_dir: Path) -> AsyncIterator[None]:
    """Listen while the block runs, if the settings want it. Raises PortTaken, Invalid."""
    if not settings.enabled:
        yield
        return
    if not 0 <= settings.port <= 65535:
        raise Invalid(reason=f"metrics.port is {settings.port}: it must be from 0 to 65535")
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serving(application(vitals), settings.host, settings.port))
        except PortTaken as error:
            raise PortTaken(error.errno, f"metrics.port: {error.strerror}") from error
        stack.enter_context(announced(state_dir, vitals.process, settings.host, port))
        yield


def application(vitals: Vitals) -> web.Application:
    """What is served of a process."""
    check = HealthCheck(vitals)

    async def healthz(_: web.Request) -> web.Response:
        health = await check.look()
        return json_response(health, health.http_status, _NOT_KEPT)

    async def metrics(request: web.Request) -> web.Response:
        # In a thread: the text of thousands of series takes tens of milliseconds, and messages do not wait for it.
        body, content_type = await asyncio.to_thread(_rendered, vitals, request.headers.get("Accept", ""))
        response = web.Response(body=body, headers={"Content-Type": content_type, **_NOT_KEPT})
        response.enable_compression()
        return response

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


def _rendered(vitals: Vitals, accept: str) -> tuple[bytes, str]:
    # Imported at the first scrape: a process starts sooner without, and one that nobody scrapes never needs it.
    from services.metrics import render

    return render(vitals, accept)
