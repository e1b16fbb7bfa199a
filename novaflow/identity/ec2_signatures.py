"""Whether a request was signed by the holder of a secret key: Amazon's signature versions 2 and 4.

Version 2 with HmacSHA1 and HmacSHA256; version 4 in a header or a presigned query, over the whole body. As in Keystone
(keystone/api/ec2tokens.py), a signature that does not fit is tried again over the host as other clients spell it.
Unlike there, every signed header must be there, the host must be signed, and a request without a time is refused.
A refusal names what is wrong and never what would have been right.
"""

import base64
import hmac
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from novaflow.errors import SignatureRefused
from novaflow.identity import ec2_times
from novaflow.identity.ec2_authorization import Authorization, authorization_of
from novaflow.identity.ec2_canonical import v2_text, v4_request, v4_text
from novaflow.identity.ec2_requests import SignedRequest

Sign = Callable[[str], str]  # from the host, as it may have been signed, to the signature

_V2_METHODS: Final = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


def verify(request: SignedRequest, secret: str, now: datetime) -> None:
    """Raises SignatureRefused unless `secret` signed the request, and not too long ago."""
    if not request.signature:
        raise SignatureRefused(ec2_code="MissingParameter", reason="EC2 signature not supplied.")
    try:
        sign = _version_4(request, secret, now) if request.is_version_4 else _version_2(request, secret, now)
        is_signed = _is_signed(request, sign)
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can carry and no client can have signed
        raise SignatureRefused(ec2_code="IncompleteSignature", reason="The request is not Unicode text.") from error
    if not is_signed:
        raise SignatureRefused(ec2_code="SignatureDoesNotMatch", reason="Invalid EC2 signature.")


def _is_signed(request: SignedRequest, sign: Sign) -> bool:
    given = request.signature.encode()
    return any(hmac.compare_digest(given, sign(host).encode()) for host in request.hosts)


def _version_2(request: SignedRequest, secret: str, now: datetime) -> Sign:
    version = request.params.get("SignatureVersion")
    if version != "2":
        said = "Unexpected signature format." if version is None else "SignatureVersion must be 2."
        raise SignatureRefused(ec2_code="IncompleteSignature", reason=said)
    if request.params.get("AWSAccessKeyId") != request.access:
        raise SignatureRefused(
            ec2_code="IncompleteSignature", reason="AWSAccessKeyId is another access key than the request's."
        )
    method = _V2_METHODS.get(request.params.get("SignatureMethod", ""))
    if method is None:
        raise SignatureRefused(
            ec2_code="InvalidParameterValue", reason="SignatureMethod must be HmacSHA256 or HmacSHA1."
        )
    ec2_times.check_v2(request, now)
    key = secret.encode()
    return lambda host: base64.b64encode(hmac.digest(key, v2_text(request, host).encode(), method)).decode()


def _version_4(request: SignedRequest, secret: str, now: datetime) -> Sign:
    said = authorization_of(request)
    made = ec2_times.date_of(request)
    stamp = ec2_times.v4_stamp(made)
    if not stamp.startswith(f"{said.day}T"):
        raise SignatureRefused(
            ec2_code="IncompleteSignature", reason="Date in Credential scope does not match the date of the request."
        )
    ec2_times.check_v4(request, made, now)
    if not _SHA256.fullmatch(request.body_hash):
        raise SignatureRefused(
            ec2_code="IncompleteSignature", reason="body_hash must be the SHA-256 of the body, in hex."
        )
    key = _signing_key(secret, said)

    def sign(host: str) -> str:
        text = v4_text(v4_request(request, host, said.signed), stamp, said.scope)
        return hmac.digest(key, text.encode(), "sha256").hex()

    return sign


def _signing_key(secret: str, said: Authorization) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in said.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
