"""/v2.0/users/{id}/credentials/OS-EC2 and /v2.0/ec2tokens (keystone/contrib/ec2/controllers.py of Icehouse to Pike)."""

from collections.abc import Iterable

from aiohttp import web

from novaflow.errors import NotFound, Unauthorized
from novaflow.identity.models import DEFAULT_DOMAIN
from novaflow.identity.roles import MEMBER_ROLE
from services.identity.access import claims_of, require_admin_or
from services.identity.authority import Authority
from services.identity.ec2_bodies import pair_view, read_project_id, read_signed
from services.identity.ec2_keys import Ec2Keys
from services.identity.v2.tokens import access_view
from services.web import SPAN, json_response


class Ec2:
    """The key pairs of the default domain's users, and tokens for what was signed with them."""

    def __init__(self, authority: Authority, keys: Ec2Keys) -> None:
        self._authority = authority
        self._keys = keys

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        pairs = "/v2.0/users/{id}/credentials/OS-EC2"
        return (
            web.get(pairs, self.index),
            web.post(pairs, self.create),
            web.get(f"{pairs}/{{access}}", self.show),
            web.delete(f"{pairs}/{{access}}", self.delete),
            web.post("/v2.0/ec2tokens", self.authenticate),
        )

    async def index(self, request: web.Request) -> web.Response:
        """The key pairs of a user."""
        pairs = await self._keys.of_user(await self._user(request, "ec2_list_credentials"))
        return json_response({"credentials": [pair_view(pair) for pair in pairs]})

    async def create(self, request: web.Request) -> web.Response:
        """A new key pair of a user for a tenant."""
        user_id = await self._user(request, "ec2_create_credential", writes=True)
        pair = await self._keys.create(user_id, await read_project_id(request))
        return json_response({"credential": pair_view(pair)})

    async def show(self, request: web.Request) -> web.Response:
        """One key pair."""
        user_id = await self._user(request, "ec2_get_credential")
        pair = await self._keys.get(user_id, request.match_info["access"])
        return json_response({"credential": pair_view(pair)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a key pair."""
        user_id = await self._user(request, "ec2_delete_credential", writes=True)
        await self._keys.delete(user_id, request.match_info["access"])
        return web.Response(status=204)

    async def authenticate(self, request: web.Request) -> web.Response:
        """A token for whoever signed a request that a service asks about."""
        issued = await self._keys.authenticate(await read_signed(request))
        project = issued.claims.project
        if issued.claims.user.domain.id != DEFAULT_DOMAIN or project is None or project.domain.id != DEFAULT_DOMAIN:
            await self._authority.revoke(issued.claims)
            raise Unauthorized  # v2.0 knows no other domain
        request[SPAN].attributes["audit_id"] = issued.claims.audit_ids[0]
        return json_response({"access": await access_view(self._authority, issued.token, issued.claims)})

    async def _user(self, request: web.Request, rule: str, *, writes: bool = False) -> str:
        """The user whose keys a request is about, if the asker may deal with them, as in v3. Raises Forbidden, NotFound."""
        user_id = request.match_info["id"]
        claims = claims_of(request)
        is_own = claims.user.id == user_id and (not writes or claims.has_role(MEMBER_ROLE))
        require_admin_or(request, rule, is_own=is_own)
        if (await self._authority.records.users.get(user_id)).domain_id != DEFAULT_DOMAIN:
            raise NotFound(kind="user", key=user_id)
        return user_id
