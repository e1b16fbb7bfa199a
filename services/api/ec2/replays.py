"""A signature is good for one change: a request that was overheard and is sent again changes nothing.

What only reads may be asked again, and so may what names a client token, which is done once by itself. A change that was refused may be
sent again, since it did nothing. Who means to do the same twice does so a second later: a signature covers the second it was
made in.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

from novaflow.db.ec2_signatures import Ec2Signatures
from services.api.ec2.errors import Ec2Error


@asynccontextmanager
async def used_once(signatures: Ec2Signatures, signature: str) -> AsyncIterator[None]:
    """Use up the signature unless the block raises; raises AuthFailure when it is used up already."""
    digest = sha256(signature.encode()).hexdigest()
    if not await signatures.use(digest):
        raise Ec2Error("AuthFailure", "A request with this signature was received before; it is good for one change.")
    try:
        yield
    except Exception:
        await signatures.forget(digest)
        raise
