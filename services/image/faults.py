"""Every refusal in the shape that Glance's clients know: WebOb's.

WebOb answers in HTML unless the client asks for JSON, and its JSON carries the same body, markup included:
`{"message": "No image found with ID ...<br /><br />\\n\\n\\n", "code": "404 Not Found", "title": "Not Found"}`. Source: webob/exc.py.
"""

import html
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from novaflow.errors import ImageRefused, NovaflowError
from services.web import Handler

_TITLES: Final = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Request Entity Too Large"}  # WebOb kept the old name
_EXPLANATIONS: Final = {
    HTTPStatus.NOT_FOUND: "The resource could not be found.",
    HTTPStatus.FORBIDDEN: "Access was denied to this resource.",
    HTTPStatus.REQUEST_TIMEOUT: "The server has waited too long for the request to be sent by the client.",
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "The server has either erred or is incapable of performing the requested operation."
    ),
}
_TAG: Final = re.compile(r"<[^>]*>")
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Fault(Exception):
    """A refusal by HTTP status. `explanation` is plain text; empty for WebOb's own sentence."""

    status: HTTPStatus
    explanation: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@web.middleware
async def faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal and every failure into an answer."""
    try:
        return await handler(request)
    except Fault as fault:
        return render(request, fault)
    except ImageRefused as error:
        return render(request, Fault(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, error.reason))
    except NovaflowError as error:
        return render(request, Fault(error.status, str(error)))
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return render(request, Fault(HTTPStatus(error.status), "", headers))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return render(request, Fault(HTTPStatus.INTERNAL_SERVER_ERROR))


def render(request: web.Request, fault: Fault) -> web.Response:
    """The fault as this client wants to read it."""
    title = _TITLES.get(fault.status, fault.status.phrase)
    status = f"{fault.status.value} {title}"
    kind = _preferred(request.headers.get("Accept", ""))
    if kind == "text/html":
        body = _body(request, fault, escape=True)
        text = (
            f"<html>\n <head>\n  <title>{status}</title>\n </head>\n <body>\n"
            f"  <h1>{status}</h1>\n  {body}\n </body>\n</html>"
        )
    elif kind == "application/json":
        body = _body(request, fault, escape=False)
        text = msgspec.json.encode({"message": body, "code": status, "title": title}).decode()
    else:
        text = f"{status}\n\n{_TAG.sub('', _body(request, fault, escape=False))}"
    return web.Response(text=text, status=fault.status, reason=title, content_type=kind, headers=fault.headers)


def _body(request: web.Request, fault: Fault, *, escape: bool) -> str:
    def shown(text: str) -> str:
        return html.escape(text) if escape else text

    if fault.status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        media = shown(request.headers.get("Content-Type", ""))
        sentence = f"The request media type {media} is not supported by this server."
        return f"{sentence}\n<br /><br />\n{shown(fault.explanation)}"
    if fault.status is HTTPStatus.METHOD_NOT_ALLOWED:
        return f"The method {shown(request.method)} is not allowed for this resource. <br /><br />\n"
    explanation = fault.explanation or _EXPLANATIONS.get(fault.status, fault.status.description)
    return f"{shown(explanation)}<br /><br />\n\n\n"


def _preferred(accept: str) -> str:
    """HTML unless JSON is wanted more; plain text for a client that takes neither."""
    if not accept.strip():
        return "text/html"
    best, best_quality = "text/plain", 0.0
    for offer in ("text/html", "application/json"):
        quality = _quality(accept, offer)
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def _quality(accept: str, offer: str) -> float:
    """How much an Accept header wants this media type; its most specific range decides (RFC 9110, 12.5.1)."""
    ranges = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        ranges[media] = float(weight) if re.fullmatch(r"[01](\.\d{0,3})?", weight) else 0.0
    family = f"{offer.partition('/')[0]}/*"
    return next((ranges[media] for media in (offer, family, "*/*") if media in ranges), 0.0)
