"""Issues, validates and ends tokens: what both API versions do behind their different words.

A refused login never says which part was wrong, and takes as long when the user does not exist.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from novaflow.clock import Clock
from novaflow.db.identity import Identity
from novaflow.db.identity_logins import Login, Scope, Wanted, WantedScope
from novaflow.db.identity_rights import Rights
from novaflow.errors import Conflict, ServiceUnavailable, Unauthorized
from novaflow.identity.catalogue import Form, facts_of
from novaflow.identity.models import Claims, Owned
from novaflow.identity.passwords import Passwords
from novaflow.identity.tokens import audit_ids, digest, expiry, is_token, new_token

EC2_METHOD: Final = "ec2credential"  # how someone proved who he is whose request was signed with an EC2 key
_KEPT_CATALOGUES: Final = 512
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Issued:
    """A new token with what it says. The token is given out once and kept nowhere."""

    token: str
    claims: Claims

    def __repr__(self) -> str:
        return f"Issued({self.claims.audit_ids[0]})"


class Authority:
    """Decides who gets a token and what a token is good for."""

    def __init__(self, records: Identity, passwords: Passwords, clock: Clock, token_seconds: int) -> None:
        self.records = records
        self.passwords = passwords
        self._clock = clock
        self._token_seconds = token_seconds
        self._catalogues: OrderedDict[tuple[str, int, str, str], msgspec.Raw] = OrderedDict()

    async def log_in(self, user: Wanted, password: str, scope: WantedScope) -> Issued:
        """A token for someone who knows a password. Raises Unauthorized."""
        login = await self.records.logins.find(user, scope)
        await self._check_password(login, password)
        return await self._issue(login, scope, methods=("password",))

    async def vouch(self, user_id: str, project_id: str, method: str) -> Issued:
        """A token for someone who has proved who he is in another way, for one project. Raises Unauthorized."""
        scope = WantedScope(project=Wanted(id=project_id))
        return await self._issue(await self.records.logins.find(Wanted(id=user_id), scope), scope, methods=(method,))

    async def rescope(self, token: str, scope: WantedScope) -> Issued:
        """Another token for the holder of one, no longer valid than that one. Raises Unauthorized.

        An EC2 key is for one project and so is what comes of it: such a token makes no others.
        """
        (claims,) = await self.validate([token])
        if claims is None or EC2_METHOD in claims.methods:
            raise Unauthorized
        login = await self.records.logins.find(Wanted(id=claims.user.id), scope)
        if login.user is None or login.user.epoch != claims.epoch:
            raise Unauthorized
        methods = tuple(dict.fromkeys(("token", *claims.methods)))
        return await self._issue(login, scope, methods=methods, parent=claims)

    async def validate(self, tokens: Sequence[str]) -> list[Claims | None]:
        """What each of some tokens says, None for what is no valid token; one statement for all of them."""
        digests = [digest(token) if is_token(token) else "" for token in tokens]
        wanted = {key for key in digests if key}
        if not wanted:
            return [None] * len(tokens)
        found = await self.records.tokens.find(wanted, self._clock.now())
        valid: dict[str, Claims] = {}
        for key, stored in found.items():
            rights = await self.records.rights.at(stored.revision)
            claims = msgspec.structs.replace(stored.claims, roles=rights.named(stored.role_ids))
            if claims.roles or not claims.is_scoped:
                valid[key] = claims
        return [valid.get(key) for key in digests]

    async def revoke(self, claims: Claims) -> None:
        """End a token."""
        await self.records.tokens.revoke(claims.digest)

    async def change_password(self, user_id: str, original: str, password: str) -> None:
        """Let a user replace its own password; ends its tokens. Raises Unauthorized."""
        login = await self.records.logins.find(Wanted(id=user_id), WantedScope())
        await self._check_password(login, original)
        new_hash = await self.passwords.hash(password)
        try:
            await self.records.users.update(
                user_id, {"password_hash": new_hash}, seen=login.user.password_hash if login.user else None
            )
        except Conflict as error:
            raise Unauthorized from error

    def catalogue(self, claims: Claims, form: Form) -> msgspec.Raw:
        """The catalogue in a token's scope as JSON, once the token was validated or issued."""
        rights = self.records.rights.newest
        project_id = claims.project.id if claims.project else ""
        key = (form.__name__, rights.revision, project_id, claims.user.id if _names_users(rights) else "")
        kept = self._catalogues.get(key)
        if kept is None:
            made = form(rights.services, rights.endpoints, facts_of(claims.user.id, project_id))
            kept = self._catalogues[key] = msgspec.Raw(msgspec.json.encode(made))
            while len(self._catalogues) > _KEPT_CATALOGUES:
                self._catalogues.popitem(last=False)
        return kept

    async def _check_password(self, login: Login, password: str) -> None:
        stored = login.user.password_hash if login.user else None
        if not await self.passwords.matches(password, stored) or login.user is None or stored is None:
            raise Unauthorized
        if self.passwords.is_outdated(stored):
            renewed = await self.passwords.hash(password)
            await self.records.users.rehash(login.user.id, stored, renewed)

    async def _issue(
        self, login: Login, wanted: WantedScope, *, methods: tuple[str, ...], parent: Claims | None = None
    ) -> Issued:
        if login.user is None or login.owner is None:
            raise Unauthorized
        rights = await self.records.rights.at(login.revision)
        scope = _decided(login.scope, wanted, rights)
        now = self._clock.now()
        token = new_token()
        claims = Claims(
            digest=digest(token),
            user=Owned(id=login.user.id, name=login.user.name, domain=login.owner),
            methods=methods,
            audit_ids=audit_ids(parent.audit_ids if parent else ()),
            issued_at=now,
            expires_at=parent.expires_at if parent else expiry(now, self._token_seconds),
            epoch=login.user.epoch,
            project=scope.project if scope else None,
            domain=scope.domain if scope else None,
            is_system=scope.is_system if scope else False,
            roles=rights.named(scope.role_ids) if scope else (),
        )
        await self.records.tokens.issue(claims)
        return Issued(token, claims)


def _decided(found: Scope | None, wanted: WantedScope, rights: Rights) -> Scope | None:
    """The scope a token gets; a default project without a role there is passed over. Raises Unauthorized."""
    is_asked = wanted.project is not None or wanted.domain is not None or wanted.is_system
    if found is not None and rights.named(found.role_ids):
        return found
    if is_asked:
        raise Unauthorized
    return None


def _names_users(rights: Rights) -> bool:
    return any("(user_id)" in endpoint.url for endpoint in rights.endpoints)


async def purge(authority: Authority, clock: Clock, every: float) -> None:
    """Forget tokens whose time is over, for as long as the service runs."""
    while True:
        await clock.sleep(every)
        try:
            while await authority.records.tokens.purge(clock.now()):
                await clock.sleep(0)
        except ServiceUnavailable as error:
            log.warning("expired tokens are purged later: %s", error)
