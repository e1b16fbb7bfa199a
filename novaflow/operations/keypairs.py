"""A user's SSH keys: made here or brought along, listed, shown, deleted.

Keys belong to users, not to projects. An administrator may work on another user's keys; anyone else only on their own.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from novaflow.clock import Clock
from novaflow.db.keypairs import KeyPairs
from novaflow.db.quotas import Quotas
from novaflow.errors import Conflict, Forbidden, Missing, NotFound
from novaflow.key_kinds import SSH, X509
from novaflow.models import Context, KeyPair
from novaflow.quotas import QuotaLimits, Usage, refusal

if TYPE_CHECKING:
    from novaflow.ssh_keys import NewKey

_RULE: Final = "os_compute_api:os-keypairs:{}"


class KeyPairOperations:
    """What can be done with keys. `defaults` are the limits of a project that has none of its own."""

    def __init__(self, keypairs: KeyPairs, quotas: Quotas, defaults: QuotaLimits, clock: Clock) -> None:
        self._keypairs = keypairs
        self._quotas = quotas
        self._defaults = defaults
        self._clock = clock

    async def create(
        self, context: Context, name: str, *, kind: str = SSH, user_id: str | None = None
    ) -> tuple[KeyPair, str]:
        """Make a key for the user; the second of the two is its private half, which is kept nowhere."""
        owner = _owner(context, user_id, "create")
        await self._refuse_early(context, owner, name)
        # RSA keys take a while to find: off the loop, and not for nothing.
        made = await asyncio.to_thread(_generate, kind, owner, self._clock.now())
        recorded = await self._record(context, owner, name, made.public, kind, made.private_fingerprint)
        return recorded, made.private

    async def bring(
        self, context: Context, name: str, public_key: str, *, kind: str = SSH, user_id: str | None = None
    ) -> KeyPair:
        """Record a key that the user made; raises Invalid when it is none."""
        owner = _owner(context, user_id, "create")
        return await self._record(context, owner, name, public_key, kind)

    async def list(
        self, context: Context, *, user_id: str | None = None, marker: str | None = None, limit: int | None = None
    ) -> Sequence[KeyPair]:
        """The user's keys by name, those after `marker`; raises Invalid for an unknown marker."""
        return await self._keypairs.list(_owner(context, user_id, "index"), marker=marker, limit=limit)

    async def get(self, context: Context, name: str, *, user_id: str | None = None) -> KeyPair:
        """One key; raises Missing."""
        owner = _owner(context, user_id, "show")
        try:
            return await self._keypairs.get(owner, name)
        except NotFound:
            raise _missing(owner, name) from None

    async def delete(self, context: Context, name: str, *, user_id: str | None = None) -> None:
        """Forget one key; servers that have it keep it. Raises Missing."""
        owner = _owner(context, user_id, "delete")
        try:
            await self._keypairs.delete(owner, name)
        except NotFound:
            raise _missing(owner, name) from None

    async def _refuse_early(self, context: Context, owner: str, name: str) -> None:
        """Raise what recording would very likely raise; what happens meanwhile is still refused there."""
        limits = await self._quotas.limits(context.project_id, self._defaults, user_id=owner)
        usage = await self._quotas.usage(context.project_id, owner)
        if refused := refusal(usage, limits, Usage(key_pairs=1)):
            raise refused
        try:
            await self._keypairs.get(owner, name)
        except NotFound:
            return
        raise Conflict(reason=f"Key pair '{name}' already exists.")

    async def _record(
        self, context: Context, owner: str, name: str, public_key: str, kind: str, private_fingerprint: str = ""
    ) -> KeyPair:
        keypair = KeyPair(
            name=name,
            user_id=owner,
            public_key=public_key,
            fingerprint=await asyncio.to_thread(_fingerprint, public_key, kind),
            type=kind,
            created_at=self._clock.now(),
            private_fingerprint=private_fingerprint,
        )
        limits = await self._quotas.limits(context.project_id, self._defaults, user_id=owner)
        return await self._keypairs.create(keypair, limits.key_pairs)


def ec2_fingerprint(keypair: KeyPair) -> str:
    """What EC2 shows of a key: of the private half where the key was made here, else of the public one."""
    from novaflow.ssh_keys import imported_fingerprint

    if keypair.private_fingerprint or keypair.type != SSH:
        return keypair.private_fingerprint or keypair.fingerprint
    return imported_fingerprint(keypair.public_key)


def _owner(context: Context, user_id: str | None, action: str) -> str:
    if user_id is not None and user_id != context.user_id and not context.is_admin:
        raise Forbidden(rule=_RULE.format(action))
    return user_id or context.user_id


def _missing(owner: str, name: str) -> Missing:
    return Missing(reason=f"Keypair {name} not found for user {owner}")


def _generate(kind: str, user_id: str, now: datetime) -> "NewKey":
    from novaflow.ssh_keys import generate_ssh, generate_x509  # cryptography is slow to import, and seldom needed

    return generate_x509(user_id, now) if kind == X509 else generate_ssh()


def _fingerprint(public_key: str, kind: str) -> str:
    from novaflow.ssh_keys import fingerprint

    return fingerprint(public_key, kind)
