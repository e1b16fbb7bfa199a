"""A request that an EC2 client has signed, in the form that whoever received it passes it on for checking.

That form is Keystone's (`POST /v3/ec2tokens`, keystone/api/ec2tokens.py): `params` are the decoded parameters of the query, or
of the form for a POST; `path` is as it was on the wire; `body_hash` is the SHA-256 of the body in hex, which version 4 signs.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import field

from novaflow.models import Value

V4_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS: Final = (80, 443)


class SignedRequest(Value, frozen=True, kw_only=True):
    """What was sent, and the access key and signature that were found in it."""

    access: str
    signature: str = ""
    verb: str = ""
    host: str = ""
    path: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body_hash: str = ""

    def header(self, name: str) -> str | None:
        """A header's value as version 4 signs it: one that comes several times has all of them. `name` is lower case."""
        found = [" ".join(value.split()) for given, value in self.headers.items() if given.strip().lower() == name]
        return ",".join(found) if found else None

    @property
    def hosts(self) -> Sequence[str]:
        """The host as the client sent it, and as clients sign it that send it so.

        Amazon has it in lower case, as boto 2 does in version 2; Keystone without its port, as clients do that leave it out; and botocore
        signs in version 2 a default port that it does not send.
        """
        sent = self.header("host") or self.host
        bare = without_port(sent)
        spelt = (sent, bare, *(f"{sent}:{port}" for port in _DEFAULT_PORTS if bare == sent))
        return tuple(dict.fromkeys(one for host in spelt for one in (host, host.lower())))

    @property
    def is_signed_by_header(self) -> bool:
        """Signed in version 4, by an Authorization header."""
        return (self.header("authorization") or "").startswith(V4_ALGORITHM)

    @property
    def is_version_4(self) -> bool:
        """Signed in version 4, by header or by query. It names no SignatureVersion, so one that does is of that version."""
        if "SignatureVersion" in self.params:
            return False
        return self.is_signed_by_header or self.params.get("X-Amz-Algorithm") == V4_ALGORITHM


def without_port(host: str) -> str:
    """A host as clients name it that leave out the port; an IPv6 address keeps its brackets."""
    head, colon, port = host.rpartition(":")
    return head if colon and port.isdecimal() and not (head.startswith("[") and not head.endswith("]")) else host
