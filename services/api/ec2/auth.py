"""Who has signed a request: the identity service is asked, which alone knows the secrets.

What was signed goes there as Keystone's `POST /v3/ec2tokens` wants it, and a token of the key's owner comes back. It is asked each time:
a key that was deleted, or whose user or project is disabled, is good for nothing at once. A signature that
was refused is answered the later the more often its key was refused before, so that keys and secrets are not found by trying.
"""

import logging
import re
from collections import OrderedDict
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from novaflow.clock import Clock
from novaflow.errors import ServiceUnavailable, SignatureRefused, Unauthorized
from novaflow.identity.ec2_requests import V4_ALGORITHM, SignedRequest
from novaflow.identity.ec2_times import longest_life
from novaflow.models import Context
from rpc.tracing import Tracer
from services.api.ec2.errors import Ec2Error
from services.api.ec2.replays import Signature
from services.api.ec2.requests import BODY_HASH, PARAMS, SIGNATURE
from services.auth import IdentityClient, ServiceToken, context_of, service_token
from services.runtime import Runtime
from services.web import CONTEXT, REQUEST_ID, SPAN, Handler

_PATH: Final = "/v3/ec2tokens"
_TRIES: Final = 2
_FIRST_PAUSE: Final = 0.1  # seconds; doubles with every refusal
_LONGEST_PAUSE: Final = 3.2
_KEPT_KEYS: Final = 4096
_LONGEST_KEY: Final = 128  # characters
_BYTES: Final = re.compile("[\ud800-\udfff]")  # how bytes are shown that are no UTF-8; JSON has no room for them

log = logging.getLogger(__name__)


class _Refusal(msgspec.Struct, frozen=True):
    message: str
    ec2_code: str


class _RefusalBody(msgspec.Struct, frozen=True):
    error: _Refusal


class Verifier(Protocol):
    """Says whose key has signed a request."""

    async def verify(self, signed: SignedRequest, request_id: str) -> Context:
        """The context of the request. Raises SignatureRefused, Unauthorized, ServiceUnavailable."""
        ...


class SignatureVerifier:
    """Asks the identity service."""

    def __init__(self, client: IdentityClient, service: ServiceToken) -> None:
        self._client = client
        self._service = service

    async def verify(self, signed: SignedRequest, request_id: str) -> Context:
        """The context of the request. Raises SignatureRefused, Unauthorized, ServiceUnavailable."""
        try:
            body = msgspec.json.encode({"ec2Credentials": signed})
        except UnicodeEncodeError as error:
            raise SignatureRefused(ec2_code="IncompleteSignature", reason="The request is not Unicode text.") from error
        status = 0
        for _ in range(_TRIES):
            mine = await self._service.get()
            status, answer, token = await self._client.ask("POST", {"X-Auth-Token": mine}, body, path=_PATH)
            if status == HTTPStatus.OK and token:
                found = context_of(answer, token, request_id)
                if found is None:
                    raise Unauthorized
                return found
            if status == HTTPStatus.NOT_FOUND:
                raise Unauthorized  # which part of the credentials is wrong is said only of a key that is known
            if why := _refusal(answer):
                raise SignatureRefused(ec2_code=why.ec2_code, reason=why.message)
            if status != HTTPStatus.UNAUTHORIZED:
                break
            self._service.forget(mine)
        raise ServiceUnavailable(service="identity", reason=f"it answered {status} to a question about a signature")


class Pauses:
    """How long a refused key waits for its answer."""

    def __init__(self, kept: int = _KEPT_KEYS) -> None:
        self._refusals: OrderedDict[str, int] = OrderedDict()
        self._kept = kept

    def refused(self, access: str) -> float:
        """The key was refused once more: the seconds to wait."""
        times = self._refusals.pop(access, 0)
        self._refusals[access] = min(times + 1, 16)
        while len(self._refusals) > self._kept:
            self._refusals.popitem(last=False)
        return min(_FIRST_PAUSE * float(2**times), _LONGEST_PAUSE)

    def accepted(self, access: str) -> None:
        """The key is a good one."""
        self._refusals.pop(access, None)


def signature_verifier(runtime: Runtime, tracer: Tracer) -> SignatureVerifier:
    """A verifier with what a process has."""
    client = IdentityClient(runtime.http, runtime.config.identity_url, tracer)
    return SignatureVerifier(client, service_token(runtime, client))


def signed_by_key(verifier: Verifier, clock: Clock) -> Middleware:
    """A middleware that puts the asker's Context into request[CONTEXT]; raises Ec2Error and what the verifier raises."""
    pauses = Pauses()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        signed = signed_request(request)
        try:
            context = await verifier.verify(signed, request[REQUEST_ID])
        except (SignatureRefused, Unauthorized):
            await clock.sleep(pauses.refused(signed.access))
            raise
        pauses.accepted(signed.access)
        request[CONTEXT] = context
        request[SIGNATURE] = Signature(f"{signed.access}/{signed.signature}", longest_life(signed))
        request[SPAN].attributes["audit_id"] = context.audit_id
        return await handler(request)

    return middleware


def signed_request(request: web.Request) -> SignedRequest:
    """What was sent, for who checks it; raises MissingAuthenticationToken when no key is named."""
    params = request[PARAMS]
    header = request.headers.get("Authorization", "")
    if header.startswith(V4_ALGORITHM):
        said = dict(part.strip().partition("=")[::2] for part in header.removeprefix(V4_ALGORITHM).split(","))
        access, signature = said.get("Credential", ""), said.get("Signature", "")
    elif "X-Amz-Credential" in params:
        access, signature = params["X-Amz-Credential"], params.get("X-Amz-Signature", "")
    else:
        access, signature = params.get("AWSAccessKeyId", ""), params.get("Signature", "")
    access = access.partition("/")[0]
    if not access or len(access) > _LONGEST_KEY:
        raise Ec2Error("MissingAuthenticationToken", "The request must contain a valid access key and its signature.")
    return SignedRequest(
        access=access,
        signature=signature,
        verb=request.method,
        host=request.host,
        path=request.rel_url.raw_path,  # as it came: who signs it does so before anybody decodes it
        params=params,
        headers=_headers(request),
        body_hash=request[BODY_HASH],
    )


def _headers(request: web.Request) -> dict[str, str]:
    """Every header that is text, each once: one that comes several times has all its values, as it would be signed."""
    joined = {name.title(): ",".join(request.headers.getall(name)) for name in request.headers}
    return {name: value for name, value in joined.items() if not _BYTES.search(value)}


def _refusal(answer: bytes) -> _Refusal | None:
    """What is wrong with the signature, if that is what the answer is about: anything else is between the services."""
    try:
        return msgspec.json.decode(answer, type=_RefusalBody).error
    except msgspec.DecodeError:
        return None
