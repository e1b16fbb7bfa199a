"""EC2 key pairs, and the tokens that requests signed with them are good for.

A refusal costs what a wrong password costs, whether it is the key that is unknown or the signature that does not fit: so keys
and signatures are guessed as slowly as passwords.
"""

import secrets
from typing import Final

from novaflow.clock import Clock
from novaflow.errors import Missing, NotFound, SignatureRefused, Unauthorized
from novaflow.identity.ec2_requests import SignedRequest
from novaflow.identity.ec2_signatures import verify
from novaflow.identity.models import Ec2Credential
from novaflow.identity.sealing import Sealing
from novaflow.models import Value
from services.identity.authority import EC2_METHOD, Authority, Issued

_KEY_BYTES: Final = 16  # as many as Keystone's, which are UUIDs


class KeyPair(Value, frozen=True, kw_only=True):
    """An access key with its secret key, of one user for one project."""

    access: str
    secret: str
    user_id: str
    project_id: str

    def __repr__(self) -> str:
        return f"KeyPair(access={self.access!r}, user_id={self.user_id!r}, project_id={self.project_id!r})"


class Ec2Keys:
    """Makes, shows and deletes key pairs, and checks what was signed with them."""

    def __init__(self, authority: Authority, sealing: Sealing, clock: Clock) -> None:
        self._authority = authority
        self._records = authority.records.ec2_credentials
        self._sealing = sealing
        self._clock = clock

    async def create(self, user_id: str, project_id: str) -> KeyPair:
        """A new key pair. Raises NotFound if its user or project is not there."""
        access, secret = (secrets.token_hex(_KEY_BYTES) for _ in range(2))
        sealed = self._sealing.seal(secret)
        await self._records.create(
            Ec2Credential(id=access, user_id=user_id, project_id=project_id, sealed_secret=sealed)
        )
        return KeyPair(access=access, secret=secret, user_id=user_id, project_id=project_id)

    async def of_user(self, user_id: str) -> list[KeyPair]:
        """The key pairs of a user. Raises NotFound if there is no such user."""
        await self._authority.records.users.get(user_id)
        return [self._opened(credential) for credential in await self._records.all(user_id=user_id)]

    async def get(self, user_id: str, access: str) -> KeyPair:
        """A key pair of a user. Raises NotFound."""
        return self._opened(await self._owned(user_id, access))

    async def delete(self, user_id: str, access: str) -> None:
        """Delete a key pair of a user. Raises NotFound."""
        await self._records.delete((await self._owned(user_id, access)).id)

    async def authenticate(self, request: SignedRequest) -> Issued:
        """A token for whoever signed a request. Raises Missing for an unknown key, else SignatureRefused.

        Refused is also what a user or project signs that is disabled, and a user without a role on the project.
        """
        try:
            credential = await self._records.get(request.access)
            verify(request, self._sealing.open(credential.sealed_secret), self._clock.now())
        except NotFound as error:
            await self._slow_down()
            raise Missing(reason="EC2 access key not found.") from error
        except SignatureRefused:
            await self._slow_down()
            raise
        try:
            return await self._authority.vouch(credential.user_id, credential.project_id, EC2_METHOD)
        except Unauthorized as error:
            raise SignatureRefused(ec2_code="AuthFailure", reason="User not valid for project.") from error

    async def _owned(self, user_id: str, access: str) -> Ec2Credential:
        credential = await self._records.get(access)
        if credential.user_id != user_id:
            raise NotFound(kind="credential", key=access)
        return credential

    def _opened(self, credential: Ec2Credential) -> KeyPair:
        return KeyPair(
            access=credential.id,
            secret=self._sealing.open(credential.sealed_secret),
            user_id=credential.user_id,
            project_id=credential.project_id,
        )

    async def _slow_down(self) -> None:
        await self._authority.passwords.matches("", None)
