"""Errors as Nova's clients expect them: one key that names the kind, with a code and a message.

Expected errors of the cloud become their status and text. Anything else is logged once, here, and
answered with a sentence that gives nothing away. Source: nova/api/openstack/wsgi.py (Fault), nova/api/openstack/__init__.py (FaultWrapper).
"""

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web

from novaflow.errors import NovaflowError
from rpc.errors import CallTimeout, NotConnected, Unroutable
from services.web import REQUEST_ID, Handler, json_response

log = logging.getLogger(__name__)

NAMES: Final = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
UNEXPECTED: Final = (
    "Unexpected API Error. Please report this with the id of the request, which is in the X-Compute-Request-Id header."
)
_SAID_OF: Final = {
    400: "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    404: "The resource could not be found.",
    405: "The method specified is not allowed for this resource.",
    413: "Request is too large.",
}


class HttpFault(Exception):
    """A refusal that only this front door knows: a bad version, an unknown action, an unreadable body."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def fault(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """The response to a request that failed; `message` is for people."""
    kind = NAMES.get(status, "computeFault")
    body: dict[str, object] = {"code": status, "message": message}
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        body["retryAfter"] = "0"
        headers = {**(headers or {}), "Retry-After": "0"}
    return json_response({kind: body}, status=status, headers=headers)


@web.middleware
async def faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into the body that clients expect."""
    try:
        return await handler(request)
    except HttpFault as refusal:
        return fault(refusal.status, refusal.message)
    except NovaflowError as error:
        if error.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            return _unexpected(request, error)
        return fault(error.status, str(error))
    except web.HTTPException as refusal:
        return _plain(refusal)
    except (CallTimeout, NotConnected, Unroutable) as outage:
        log.warning("%s %s: the bus failed: %s", request.method, request.path, outage)
        return fault(HTTPStatus.SERVICE_UNAVAILABLE, "The service is currently not able to reach the compute hosts.")
    except Exception as error:  # the last resort of a front door: nothing of it may reach the client
        return _unexpected(request, error)


def _plain(refusal: web.HTTPException) -> web.Response:
    """A refusal of the HTTP library (no such url, no such method, body too large), in Nova's form."""
    if refusal.status < HTTPStatus.BAD_REQUEST:
        raise refusal
    headers = {name: refusal.headers[name] for name in ("Allow", "WWW-Authenticate") if name in refusal.headers}
    return fault(refusal.status, _SAID_OF.get(refusal.status, refusal.reason), headers)


def _unexpected(request: web.Request, error: Exception) -> web.Response:
    log.error("%s %s failed (%s)", request.method, request.path, request.get(REQUEST_ID), exc_info=error)
    return fault(HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)
