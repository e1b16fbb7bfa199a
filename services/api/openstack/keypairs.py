"""SSH keys. Source: nova/api/openstack/compute/keypairs.py, views/keypairs.py, schemas/keypairs.py."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow import key_kinds
from novaflow.errors import QuotaExceeded
from novaflow.models import KeyPair
from services.api.openstack.bounds import LONGEST_ID
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, context, empty, microversion, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.paging import next_link, page
from services.api.openstack.schema import Check, choice, name, record, text
from services.api.openstack.times import microseconds

TYPES: Final[Version] = (2, 2)
OTHER_USERS: Final[Version] = (2, 10)
PAGES: Final[Version] = (2, 35)


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-keypairs`."""

    async def index(request: web.Request) -> web.Response:
        version = microversion(request)
        if version < PAGES:
            found = await api.keypairs.list(context(request), user_id=_user(request))
            return reply({"keypairs": [{"keypair": _listed(keypair, version)} for keypair in found]})
        asked = page(request, api.config.api.max_limit)
        found = await api.keypairs.list(
            context(request), user_id=_user(request), marker=asked.marker, limit=asked.limit
        )
        body: dict[str, Any] = {"keypairs": [{"keypair": _listed(keypair, version)} for keypair in found]}
        if found and (more := next_link(request, found, asked.limit, found[-1].name, "os-keypairs")):
            body["keypairs_links"] = more
        return reply(body)

    async def create(request: web.Request) -> web.Response:
        version = microversion(request)
        given = (await read_body(request, _create(version)))["keypair"]
        try:
            keypair, private = await _make(api, request, given)
        except QuotaExceeded:
            raise HttpFault(HTTPStatus.FORBIDDEN, "Quota exceeded, too many key pairs.") from None
        shown = {**_listed(keypair, version), "user_id": keypair.user_id}
        if private:
            shown["private_key"] = private
        return reply({"keypair": shown}, HTTPStatus.CREATED if version >= TYPES else HTTPStatus.OK)

    async def show(request: web.Request) -> web.Response:
        found = await api.keypairs.get(context(request), request.match_info["name"], user_id=_user(request))
        return reply({"keypair": _shown(found, microversion(request))})

    async def delete(request: web.Request) -> web.Response:
        await api.keypairs.delete(context(request), request.match_info["name"], user_id=_user(request))
        return empty(HTTPStatus.NO_CONTENT if microversion(request) >= TYPES else HTTPStatus.ACCEPTED)

    return [
        web.get("/os-keypairs", index),
        web.post("/os-keypairs", create),
        web.get("/os-keypairs/{name}", show),
        web.delete("/os-keypairs/{name}", delete),
    ]


async def _make(api: Api, request: web.Request, given: Mapping[str, Any]) -> tuple[KeyPair, str]:
    """The key, and its private half if it was made here."""
    kind, user_id = given.get("type", key_kinds.SSH), given.get("user_id")
    if "public_key" not in given:
        return await api.keypairs.create(context(request), given["name"], kind=kind, user_id=user_id)
    brought = await api.keypairs.bring(context(request), given["name"], given["public_key"], kind=kind, user_id=user_id)
    return brought, ""


def _user(request: web.Request) -> str | None:
    return request.query.get("user_id") if microversion(request) >= OTHER_USERS else None


def _listed(keypair: KeyPair, version: Version) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": keypair.name,
        "public_key": keypair.public_key,
        "fingerprint": keypair.fingerprint,
    }
    if version >= TYPES:
        shown["type"] = keypair.type
    return shown


def _shown(keypair: KeyPair, version: Version) -> dict[str, Any]:
    return {
        **_listed(keypair, version),
        "user_id": keypair.user_id,
        "id": keypair.id,
        "created_at": microseconds(keypair.created_at),
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }


def _create(version: Version) -> Check:
    fields: dict[str, Check] = {"name": _name, "public_key": text()}
    if version >= TYPES:
        fields["type"] = choice(key_kinds.SSH, key_kinds.X509)
    if version >= OTHER_USERS:
        fields["user_id"] = text(min_length=1, max_length=LONGEST_ID)
    return record({"keypair": record(fields, required=("name",))}, required=("keypair",))


def _name(value: object) -> str:
    """Letters, digits, spaces, dashes and underscores, the ends no spaces."""
    checked: str = _PLAIN(_ANY_NAME(value))
    return checked


_ANY_NAME: Final = name()
_PLAIN: Final = text(pattern=r"^[_\- a-zA-Z0-9]+$")
