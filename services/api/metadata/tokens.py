"""The session tokens of IMDSv2: made for one guest and a number of seconds, and kept nowhere, since they say all that is asked of them."""

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Final

HEADER: Final = "X-aws-ec2-metadata-token"
TTL_HEADER: Final = "X-aws-ec2-metadata-token-ttl-seconds"
LONGEST: Final = 21600  # seconds

_EXPIRY: Final = struct.Struct("!Q")
_PURPOSE: Final = b"novaflow metadata token"  # the secret signs other things as well


def read_ttl(text: str) -> int | None:
    """The seconds that are asked for; None for what is no such number."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(LONGEST)):
        return None
    seconds = int(text)
    return seconds if 1 <= seconds <= LONGEST else None


def make_token(secret: bytes, server_id: str, expires: int) -> str:
    """A token that is good until `expires`, in seconds since 1970."""
    expiry = _EXPIRY.pack(expires)
    return base64.urlsafe_b64encode(expiry + _mac(secret, server_id, expiry)).decode()


def is_good(secret: bytes, server_id: str, token: str, now: float) -> bool:
    """Ours, this guest's, and still good."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return False
    expiry, mac = raw[: _EXPIRY.size], raw[_EXPIRY.size :]
    return hmac.compare_digest(mac, _mac(secret, server_id, expiry)) and now < _EXPIRY.unpack(expiry)[0]


def _mac(secret: bytes, server_id: str, expiry: bytes) -> bytes:
    return hmac.new(secret, b"\0".join((_PURPOSE, server_id.encode(), expiry)), hashlib.sha256).digest()
