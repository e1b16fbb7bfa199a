"""How a compute host tells the metadata service which of its guests asks: the guest's id, signed with a secret that both have.

As Neutron's metadata proxy does it for Nova (metadata_proxy_shared_secret). The host knows the guest by its wire; what the guest
itself sends by these names is not passed on.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from services.kept_secrets import kept

ID: Final = "X-Instance-ID"
SIGNATURE: Final = "X-Instance-ID-Signature"
FILE: Final = "metadata-secret"  # in the state directory
VARIABLE: Final = "NOVAFLOW_METADATA_SECRET"  # where the services have none in common
_BYTES: Final = 32
_BYTES_IN_HEADERS: Final = "surrogateescape"  # how what is no UTF-8 is shown


def shared_secret(state_dir: Path) -> bytes:
    """The environment's, or the state directory's, made now unless it is there. Raises OSError."""
    text = os.environ.get(VARIABLE) or kept(state_dir / FILE, f"{secrets.token_urlsafe(_BYTES)}\n")
    return text.strip().encode()


def signed(secret: bytes, server_id: str) -> dict[str, str]:
    """The headers that say it."""
    return {ID: server_id, SIGNATURE: _signature(secret, server_id)}


def is_signed(secret: bytes, server_id: str, signature: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(_signature(secret, server_id).encode(), signature.encode(errors=_BYTES_IN_HEADERS))


def _signature(secret: bytes, server_id: str) -> str:
    return hmac.new(secret, server_id.encode(errors=_BYTES_IN_HEADERS), hashlib.sha256).hexdigest()
