"""/v3/users/{id}/credentials/OS-EC2 and /v3/ec2tokens (keystone/api/users.py, keystone/api/ec2tokens.py)."""

from collections.abc import Iterable

from aiohttp import web

from novaflow.identity.catalogue import v3_catalogue
from novaflow.identity.roles import MEMBER_ROLE
from services.identity.access import claims_of, require_admin_or
from services.identity.authority import Authority
from services.identity.ec2_bodies import pair_view, read_project_id, read_signed
from services.identity.ec2_keys import Ec2Keys, KeyPair
from services.identity.links import View, base_url, listed
from services.identity.v3.auth import token_view
from services.web import SPAN, json_response


class Ec2:
    """The key pairs, and tokens for what was signed with them. Owners and administrators see a secret, no one else."""

    def __init__(self, authority: Authority, keys: Ec2Keys) -> None:
        self._authority = authority
        self._keys = keys

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        pairs = "/v3/users/{id}/credentials/OS-EC2"
        return (
            web.get(pairs, self.index),
            web.post(pairs, self.create),
            web.get(f"{pairs}/{{access}}", self.show),
            web.delete(f"{pairs}/{{access}}", self.delete),
            web.post("/v3/ec2tokens", self.authenticate),
        )

    async def index(self, request: web.Request) -> web.Response:
        """The key pairs of a user."""
        user_id = self._user(request, "ec2_list_credentials")
        views = [_view(request, pair) for pair in await self._keys.of_user(user_id)]
        return json_response(listed(request, "credentials", views))

    async def create(self, request: web.Request) -> web.Response:
        """A new key pair of a user for a project."""
        user_id = self._user(request, "ec2_create_credential", writes=True)
        pair = await self._keys.create(user_id, await read_project_id(request))
        return json_response({"credential": _view(request, pair)}, 201)

    async def show(self, request: web.Request) -> web.Response:
        """One key pair."""
        user_id = self._user(request, "ec2_get_credential")
        pair = await self._keys.get(user_id, request.match_info["access"])
        return json_response({"credential": _view(request, pair)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a key pair."""
        user_id = self._user(request, "ec2_delete_credential", writes=True)
        await self._keys.delete(user_id, request.match_info["access"])
        return web.Response(status=204)

    async def authenticate(self, request: web.Request) -> web.Response:
        """A token for whoever signed a request that a service asks about."""
        issued = await self._keys.authenticate(await read_signed(request))
        request[SPAN].attributes["audit_id"] = issued.claims.audit_ids[0]
        view = token_view(issued.claims) | {"catalog": self._authority.catalogue(issued.claims, v3_catalogue)}
        return json_response({"token": view}, 200, {"X-Subject-Token": issued.token})

    def _user(self, request: web.Request, rule: str, *, writes: bool = False) -> str:
        """The user whose keys a request is about, if the asker may deal with them; to change them takes a member's role."""
        user_id = request.match_info["id"]
        claims = claims_of(request)
        is_own = claims.user.id == user_id and (not writes or claims.has_role(MEMBER_ROLE))
        require_admin_or(request, rule, is_own=is_own)
        return user_id


def _view(request: web.Request, pair: KeyPair) -> View:
    address = f"{base_url(request)}/v3/users/{pair.user_id}/credentials/OS-EC2/{pair.access}"
    return pair_view(pair) | {"links": {"self": address}}
