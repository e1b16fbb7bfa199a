"""What exactly is signed: a request in the one spelling that client and server agree upon.

Version 2 as boto 2 and botocore spell it, version 4 as botocore does (botocore/auth.py): a different spelling of
the same request is a different signature, so nothing here may be more forgiving than the signers are.
"""

import hashlib
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from novaflow.identity.ec2_requests import V4_ALGORITHM, SignedRequest


def v2_text(request: SignedRequest, host: str) -> str:
    """What version 2 signs."""
    others = {name: value for name, value in request.params.items() if name != "Signature"}
    pairs = [f"{quote(name, safe='')}={quote(others[name], safe='-_~')}" for name in sorted(others)]
    return "\n".join((request.verb, host, request.path or "/", "&".join(pairs)))


def v4_text(canonical: str, stamp: str, scope: str) -> str:
    """What version 4 signs of a canonical request made at `stamp`; `scope` is day, region, service and the word aws4_request."""
    return "\n".join((V4_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))


def v4_request(request: SignedRequest, host: str, signed: Sequence[str]) -> str:
    """A canonical request of version 4, with the headers named in `signed`."""
    lines = [f"{name}:{host if name == 'host' else request.header(name)}\n" for name in signed]
    path = quote(_without_dots(request.path), safe="/~")
    body = request.body_hash.lower()
    return "\n".join((request.verb.upper(), path, _v4_query(request), "".join(lines), ";".join(signed), body))


def _v4_query(request: SignedRequest) -> str:
    """The query. The parameters of a POST are its body's, except where the signature itself is among them."""
    if request.is_signed_by_header:
        return "" if request.verb.upper() == "POST" else _v4_pairs(request.params)
    return _v4_pairs({name: value for name, value in request.params.items() if name != "X-Amz-Signature"})


def _v4_pairs(params: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in params.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4, and without empty segments."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    last = "/" if kept and path.endswith("/") else ""
    return f"/{'/'.join(kept)}{last}"
