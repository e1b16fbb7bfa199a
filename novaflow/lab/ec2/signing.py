"""Amazon's signature version 4 in a header, as its clients make it. It knows nothing of the implementation that checks it.

Source: Amazon, "Create a signed AWS API request".
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"
_SIGNED: Final = ("content-type", "host", "x-amz-date")  # in the order of the alphabet, as they are signed


@dataclass(frozen=True)
class Keys:
    """An access key and its secret, which never shows in a repr."""

    access: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Request:
    """A request as it is sent, whole: made before the clock runs, so that sending costs the same whatever is asked."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)  # with a signature or a token
    body: bytes | None = None


def signed(url: str, params: Mapping[str, str], keys: Keys, region: str, now: datetime) -> Request:
    """A POST of these parameters to an EC2 API, good for some minutes from `now`."""
    split = urlsplit(url)
    body = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params.items()).encode()
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": _FORM, "host": split.netloc, "x-amz-date": stamp}
    scope = f"{stamp[:8]}/{region}/ec2/aws4_request"
    names = ";".join(_SIGNED)
    lines = "".join(f"{name}:{headers[name]}\n" for name in _SIGNED)
    canonical = "\n".join(("POST", split.path or "/", "", lines, names, hashlib.sha256(body).hexdigest()))
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(_key(keys.secret, scope), text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return Request("POST", url, headers, body)


def _key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
