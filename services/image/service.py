"""The image service of one process: its records, its store, and the HTTP front."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from novaflow.db.images import Images
from novaflow.db.images_members import ImageMembers
from novaflow.db.images_uploads import ImageUploads
from novaflow.errors import ServiceUnavailable
from novaflow.images.store import FileStore
from novaflow.images.upload import Uploads
from services.auth import authenticated, token_verifier
from services.image.app import create_app
from services.image.discovery import is_public
from services.image.frame import ImageApi
from services.runtime import Runtime
from services.web import serving, traced

_SERVICE: Final = "image"
_SWEEP_INTERVAL: Final = 60.0  # seconds
log = logging.getLogger(__name__)


@asynccontextmanager
async def image(runtime: Runtime) -> AsyncIterator[None]:
    """Serve the image API while the block runs. What interrupted uploads left is cleaned up before the first request."""
    api = await _build(runtime)
    await _sweep(api.uploads)
    tracer = runtime.tracer(_SERVICE)
    app = create_app(
        api,
        trace=traced(tracer),
        authenticate=authenticated(token_verifier(runtime, tracer), public=is_public),
    )
    settings = runtime.config.image
    async with serving(app, settings.host, settings.port):
        sweeping = runtime.spawn(_sweep_for_ever(runtime, api.uploads), "sweep image uploads")
        try:
            yield
        finally:
            sweeping.cancel()


async def _build(runtime: Runtime) -> ImageApi:
    db = await runtime.database()
    settings = runtime.config.image
    store = await asyncio.to_thread(FileStore, runtime.state_dir / "images", settings.max_bytes)
    return ImageApi(
        images=Images(db, runtime.clock),
        members=ImageMembers(db, runtime.clock),
        uploads=Uploads(ImageUploads(db, runtime.clock), store, _new_id),
        store=store,
        clock=runtime.clock,
        new_id=_new_id,
        max_bytes=settings.max_bytes,
    )


def _new_id() -> str:
    return str(uuid.uuid4())


async def _sweep_for_ever(runtime: Runtime, uploads: Uploads) -> None:
    while True:
        await runtime.clock.sleep(_SWEEP_INTERVAL)
        try:
            await _sweep(uploads)
        except (ServiceUnavailable, OSError) as error:
            log.warning("the uploads could not be swept, trying again in %s s: %s", _SWEEP_INTERVAL, error)


async def _sweep(uploads: Uploads) -> None:
    found = await uploads.sweep()
    if found:
        log.warning("cleaned up after %s interrupted uploads or deletions", found)
