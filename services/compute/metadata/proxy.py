"""Between a guest and the metadata service: a guest's request goes on in the name of the server whose wire it came by.

Only headers that the service knows are passed on. So nothing that the guest sends can make it another guest.
"""

import logging
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from services import guest_identity
from services.compute.metadata.transport import GuestTransport

TIMEOUT: Final = 20.0  # seconds
MOST_BYTES: Final = 64 * 1024  # of a request
TOKEN_TTL: Final = "X-aws-ec2-metadata-token-ttl-seconds"  # noqa: S105 - a header's name
_ASKED: Final = (hdrs.ACCEPT, hdrs.CONTENT_TYPE, hdrs.X_FORWARDED_FOR, "X-aws-ec2-metadata-token", TOKEN_TTL)
_ANSWERED: Final = (hdrs.CONTENT_TYPE, hdrs.ALLOW, TOKEN_TTL)
log = logging.getLogger(__name__)


class MetadataProxy:
    """Passes on to `url`. Who holds a token of IMDSv2 got it on a connection that lives for `token_hops` from then on."""

    def __init__(self, http: aiohttp.ClientSession, url: str, secret: bytes, token_hops: int) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._secret = secret
        self._token_hops = token_hops

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The service's answer; 503 when it has none."""
        transport = request.transport
        if not isinstance(transport, GuestTransport):
            return web.Response(status=499)  # the guest has gone
        if not request.raw_path.startswith("/"):
            return web.Response(status=400, text="The path must begin with a slash.")
        if (request.content_length or 0) > MOST_BYTES:
            return web.Response(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            return await self._pass_on(request, transport)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("server %s: the metadata service does not answer: %s", transport.server_id, error)
            return web.Response(status=503, text="The metadata service does not answer.")

    async def _pass_on(self, request: web.BaseRequest, transport: GuestTransport) -> web.Response:
        body = await request.read()
        if len(body) > MOST_BYTES:  # in chunks, whose length is not said beforehand
            return web.Response(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        headers = {name: request.headers[name] for name in _ASKED if name in request.headers}
        asked = self._http.request(
            request.method,
            URL(self._url + request.raw_path, encoded=True),
            headers=headers | guest_identity.signed(self._secret, transport.server_id),
            data=body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        )
        async with asked as answer:
            content = await answer.read()
            told = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
            if request.method == hdrs.METH_PUT:
                # For the rest of the connection: what is sent again, if a router has dropped it, must not pass that either.
                transport.hops = min(transport.hops, self._token_hops)
            return web.Response(status=answer.status, body=content, headers=told)
