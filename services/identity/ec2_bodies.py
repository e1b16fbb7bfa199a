"""What both API versions read of a signed request, and how they show a key pair (keystone/api/_shared/EC2_S3_Resource.py)."""

from typing import Any, Final

import msgspec
from aiohttp import web

from novaflow.errors import Forbidden, Invalid, SignatureRefused
from novaflow.identity.ec2_requests import SignedRequest
from services.identity.access import claims_of, is_service
from services.identity.bodies import Field, Fields, check, missing, read_object
from services.identity.ec2_keys import KeyPair
from services.identity.links import View

_MEMBERS: Final = ("credentials", "credential", "ec2Credentials")  # Nova of Icehouse sends the last one
_PAIR: Final[Fields] = {"tenant_id": Field(shortest=1)}


async def read_signed(request: web.Request) -> SignedRequest:
    """A signed request that a service or an administrator has checked. Raises Forbidden, Invalid, SignatureRefused.

    No one else may: whoever saw a signed request pass by could make a token of it (OSSA-2025-002).
    """
    if not is_service(claims_of(request)):
        raise Forbidden(rule="identity:ec2tokens_validate")
    body = await read_object(request)
    if not body:
        raise Invalid(reason="request must include a request body")
    signed: object = next((body[name] for name in _MEMBERS if body.get(name)), {})
    if not isinstance(signed, dict):
        raise missing("credentials", "request body")
    given = {name: value for name, value in signed.items() if value is not None}
    if "access" not in given:
        raise SignatureRefused(ec2_code="MissingParameter", reason="EC2 signature not supplied.")
    try:
        return msgspec.convert(given, SignedRequest)
    except msgspec.ValidationError as error:
        raise Invalid(reason=f"Invalid input for field/attribute credentials: {error}") from error


async def read_project_id(request: web.Request) -> str:
    """The project that a new key pair is asked for. Raises Invalid."""
    body: dict[str, Any] = await read_object(request)
    if body.get("tenant_id") is None:
        raise missing("tenant_id", "request body")
    check(body, _PAIR, is_new=True)
    return str(body["tenant_id"])


def pair_view(pair: KeyPair) -> View:
    """A key pair; there are no trusts here that it could come from."""
    return {
        "user_id": pair.user_id,
        "tenant_id": pair.project_id,
        "access": pair.access,
        "secret": pair.secret,
        "trust_id": None,
    }
