"""How a request of version 4 says that it was signed: by which key, for what, over which headers.

In the Authorization header, or in the query of a presigned request.
"""

from collections.abc import Mapping
from typing import Final

from novaflow.errors import SignatureRefused
from novaflow.identity.ec2_requests import V4_ALGORITHM, SignedRequest
from novaflow.models import Value

_SCOPE_END: Final = "aws4_request"
_PARTS: Final = 5  # of a credential: access key, day, region, service and the word aws4_request


class Authorization(Value, frozen=True, kw_only=True):
    """What the signature is said to be of. `signed` are names of headers, lower case, as they are ordered there."""

    access: str
    day: str
    region: str
    service: str
    signed: tuple[str, ...]

    @property
    def scope(self) -> str:
        """What the signing key is good for."""
        return f"{self.day}/{self.region}/{self.service}/{_SCOPE_END}"


def authorization_of(request: SignedRequest) -> Authorization:
    """What a request says of its signature, checked as far as that goes without the secret. Raises SignatureRefused."""
    said = _header(request) if request.is_signed_by_header else _query(request)
    access, day, region, service = _credential(said["Credential"])
    if access != request.access:
        raise _incomplete("Credential names another access key than the request.")
    signed = tuple(said["SignedHeaders"].split(";"))
    if "host" not in signed:
        raise _incomplete("'Host' must be a signed header.")
    for name in signed:
        if name != "host" and (name != name.lower() or request.header(name) is None):
            raise _incomplete("A signed header is not among the headers of the request.")
    return Authorization(access=access, day=day, region=region, service=service, signed=signed)


def _header(request: SignedRequest) -> Mapping[str, str]:
    value = (request.header("authorization") or "").removeprefix(V4_ALGORITHM)
    pairs = [part.strip().partition("=") for part in value.split(",")]
    said = {name: text for name, _, text in pairs}
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not said.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    if len(said) != len(pairs):
        raise _incomplete("Authorization header says something twice.")
    return said


def _query(request: SignedRequest) -> Mapping[str, str]:
    said = {name: request.params.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders")}
    for name, value in said.items():
        if not value:
            raise _incomplete(f"Query requires 'X-Amz-{name}' parameter.")
    return said


def _credential(text: str) -> tuple[str, str, str, str]:
    parts = text.split("/")
    if len(parts) != _PARTS or not all(parts) or parts[-1] != _SCOPE_END:
        raise _incomplete(f"Credential must have the form KEY/YYYYMMDD/REGION/SERVICE/{_SCOPE_END}.")
    return parts[0], parts[1], parts[2], parts[3]


def _incomplete(reason: str) -> SignatureRefused:
    return SignatureRefused(ec2_code="IncompleteSignature", reason=reason)
