"""A signature is good for one change: a request that was overheard and is sent again changes nothing.

What only reads may be asked again, and so may what names a client token, which is done once by itself. A change that was not made,
because it was refused, because something failed, or because its handler was ended, may be sent again: clients do that by themselves, and
sign within the same second what they signed before. A change that was made is refused even to the client that made it, whether it
lost the answer or means to do the same once more. The refusal is the one that Amazon has for asking too often, and comes when a second
has passed: clients then sign again by themselves, and a signature covers the second it was made in.

To answer with what was answered before would be kinder to who lost an answer, but tells whoever overheard a request what its sender
was told (a new private key), and makes one of two addresses that were asked for in one second. Who has to be sure that something
is made once has client tokens for it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from typing import Final

from novaflow.clock import Clock
from novaflow.db.ec2_signatures import Ec2Signatures
from novaflow.models import Value
from services.api.ec2.errors import Ec2Error

_REFUSAL: Final = (
    "This request was received before, with the same signature. Sign it again to have it carried out again."
)
_SAME_SIGNATURE: Final = 1.0  # seconds in which the same request has the same signature


class Signature(Value, frozen=True):
    """Whose key signed a request and what it signed, and for how long that could count at most."""

    text: str
    lasts: timedelta


@asynccontextmanager
async def used_once(signatures: Ec2Signatures, signature: Signature, clock: Clock) -> AsyncIterator[None]:
    """Use up the signature unless the block raises; raises RequestLimitExceeded when it is used up already."""
    digest = sha256(signature.text.encode()).hexdigest()
    if not await signatures.use(digest, signature.lasts):
        await clock.sleep(_SAME_SIGNATURE)
        raise Ec2Error("RequestLimitExceeded", _REFUSAL)
    try:
        yield
    except BaseException:  # a handler that is ended has told nobody that anything was done
        await signatures.forget(digest)
        raise
