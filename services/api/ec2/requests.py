"""Reading a request, before anybody knows whose it is: its parameters, and the hash of its body."""

import hashlib
from typing import Final

from aiohttp import web

from services.api.ec2.errors import Ec2Error
from services.api.ec2.protocol import pairs
from services.api.ec2.replays import Signature
from services.web import Handler

PARAMS: Final = web.RequestKey("ec2_params", dict[str, str])
BODY_HASH: Final = web.RequestKey("ec2_body_hash", str)
SIGNATURE: Final = web.RequestKey("ec2_signature", Signature)  # set once it is known to be good

_FORM: Final = "application/x-www-form-urlencoded"


@web.middleware
async def read_params(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the decoded parameters into request[PARAMS]: a GET's are its query's, a POST's its form's, and never both."""
    body = await _body(request)
    query = request.raw_path.partition("?")[2]
    if request.method == "POST":
        if query:  # a signature over the body would not cover it
            raise Ec2Error("MalformedQueryString", "The parameters of a POST are in its body.")
        if request.content_type != _FORM:
            raise Ec2Error("InvalidRequest", f"The body of a POST is of the type {_FORM}.")
        query = _text(body)
    elif body:
        raise Ec2Error("InvalidRequest", "A GET has no body.")
    request[PARAMS] = pairs(query)
    request[BODY_HASH] = hashlib.sha256(body).hexdigest()
    return await handler(request)


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.RequestPayloadError:
        raise Ec2Error("InvalidRequest", "The body is not as its headers say.") from None


def _text(body: bytes) -> str:
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise Ec2Error("MalformedQueryString", "The body is not url-encoded.") from None
