"""Errors as Keystone words them: {"error": {"code", "title", "message"}}.

A refused signature also says `ec2_code`, Amazon's name for what is wrong with it, which an EC2 API hands on to its client.
"""

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web

from novaflow.errors import Forbidden, NotFound, NovaflowError, SignatureRefused, TooLarge
from services.identity.links import base_url
from services.web import SPAN, Handler, json_response

_UNKNOWN_URL: Final = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
_WRONG_METHOD: Final = "The method is not allowed for the requested URL."
_UNEXPECTED: Final = "An unexpected error prevented the server from fulfilling your request."
_FORBIDDEN: Final = "You are not authorized to perform the requested action: {}."
_TOO_LARGE: Final = "Request is too large."

log = logging.getLogger(__name__)


@web.middleware
async def faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a refusal in Keystone's form; an unexpected failure is logged and says nothing of itself."""
    try:
        response = await handler(request)
    except NovaflowError as error:
        more = {"ec2_code": error.ec2_code} if isinstance(error, SignatureRefused) else {}
        response = _answer(request, error.status, _words(error), **more)
    except web.HTTPException as error:
        response = _http_error(request, error)
    except Exception:
        log.exception("%s failed", request[SPAN].name)
        response = _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, _UNEXPECTED)
    if not response.prepared:
        response.headers["Vary"] = "X-Auth-Token"
    return response


def _words(error: NovaflowError) -> str:
    match error:
        case NotFound():
            return f"Could not find {error.kind}: {error.key}."
        case Forbidden():
            return _FORBIDDEN.format(error.rule)
        case TooLarge():
            return _TOO_LARGE
    return str(error)


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    match error:
        case web.HTTPNotFound():
            return _answer(request, HTTPStatus.NOT_FOUND, _UNKNOWN_URL)
        case web.HTTPMethodNotAllowed():
            response = _answer(request, HTTPStatus.METHOD_NOT_ALLOWED, _WRONG_METHOD)
            response.headers["Allow"] = ",".join(sorted(error.allowed_methods))
            return response
        case web.HTTPRequestEntityTooLarge():
            return _answer(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
    return _answer(request, HTTPStatus(error.status), error.reason)


def _answer(request: web.Request, status: HTTPStatus, message: str, **more: str) -> web.Response:
    error = {"code": int(status), "message": message, "title": status.phrase, **more}
    response = json_response({"error": error}, int(status))
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = f'Keystone uri="{base_url(request)}/v3"'
    return response
