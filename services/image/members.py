"""Whom a shared image is shared with: the owner offers it, each project answers for itself."""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from novaflow.errors import Conflict, Invalid
from novaflow.images import access
from novaflow.images.errors import LimitReached
from novaflow.images.image import Image, Member, Visibility
from novaflow.models import Context
from services.image.faults import Fault
from services.image.frame import ImageApi, context, json_body, refuse_body, seen_image
from services.image.views import member_view
from services.web import json_response

_ABSENT: Final = "Image {} not found."
_ANSWERS: Final = ("pending", "accepted", "rejected")
_NAME_MAX: Final = 255


def routes(api: ImageApi) -> list[web.RouteDef]:
    """The urls of this resource."""
    resource = MemberResource(api)
    one = "/images/{image_id}/members/{member_id}"
    return [
        web.get("/images/{image_id}/members", resource.index, allow_head=False),
        web.post("/images/{image_id}/members", resource.create),
        web.get(one, resource.show, allow_head=False),
        web.put(one, resource.update),
        web.delete(one, resource.delete),
    ]


class MemberResource:
    """Handlers of /v2/images/{id}/members."""

    def __init__(self, api: ImageApi) -> None:
        self._api = api

    async def index(self, request: web.Request) -> web.Response:
        """The members: all of them for the owner, itself for a member."""
        refuse_body(request)
        image = await self._shared(
            request, "Not allowed to list members for image {}: Only shared images have members."
        )
        asking = context(request)
        members = [each for each in await self._api.members.list(image.id) if _sees(asking, image, each.member_id)]
        return json_response({"members": [member_view(each) for each in members], "schema": "/v2/schemas/members"})

    async def create(self, request: web.Request) -> web.Response:
        """Offer the image to a project."""
        member_id = _named(await json_body(request))
        image = await self._owned(request, "create")
        try:
            member = await self._api.members.add(image.id, member_id)
        except LimitReached as error:
            raise Fault(error.status, f"Image member limit exceeded for image {image.id}: {error}:") from error
        except Conflict as error:
            raise Fault(error.status, str(error)) from error
        return json_response(member_view(member))

    async def show(self, request: web.Request) -> web.Response:
        """One membership; hidden from whom it does not concern."""
        refuse_body(request)
        image = await seen_image(self._api, request, missing=_ABSENT)
        if image.visibility is not Visibility.SHARED:
            raise Fault(HTTPStatus.NOT_FOUND, "Only shared images have members.")
        return json_response(member_view(await self._member(request, image)))

    async def update(self, request: web.Request) -> web.Response:
        """A member accepts or rejects; the owner cannot do that for it."""
        status = _answer(await json_body(request))
        refusal = "Not allowed to update members for image {}."
        image = await self._shared(request, refusal)
        member = await self._member(request, image)
        asking = context(request)
        if not asking.is_admin and (asking.project_id != member.member_id or access.only_reads(asking)):
            raise Fault(HTTPStatus.FORBIDDEN, refusal.format(image.id))
        return json_response(member_view(await self._api.members.answer(image.id, member.member_id, status)))

    async def delete(self, request: web.Request) -> web.Response:
        """Stop sharing with a project."""
        refuse_body(request)
        image = await self._owned(request, "delete")
        member = await self._member(request, image)
        await self._api.members.remove(image.id, member.member_id)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _shared(self, request: web.Request, refusal: str) -> Image:
        image = await seen_image(self._api, request, missing=_ABSENT)
        if image.visibility is not Visibility.SHARED:
            raise Fault(HTTPStatus.FORBIDDEN, refusal.format(image.id))
        return image

    async def _owned(self, request: web.Request, verb: str) -> Image:
        refusal = f"Not allowed to {verb} members for image {{}}."
        image = await self._shared(request, refusal)
        asking = context(request)
        if not asking.is_admin and (image.owner != asking.project_id or access.only_reads(asking)):
            raise Fault(HTTPStatus.FORBIDDEN, refusal.format(image.id))
        return image

    async def _member(self, request: web.Request, image: Image) -> Member:
        member_id = request.match_info["member_id"]
        member = await self._api.members.find(image.id, member_id)
        if member is None or not _sees(context(request), image, member_id):
            raise Fault(HTTPStatus.NOT_FOUND, f"{member_id} not found in the member list of the image {image.id}.")
        return member


def _sees(asking: Context, image: Image, member_id: str) -> bool:
    return access.sees_all(asking) or asking.project_id in (image.owner, member_id)


def _named(document: object) -> str:
    if not isinstance(document, dict):
        raise Invalid(reason='Expected a member in the form: {"member": "image_id"}')
    if "member" not in document:
        raise Invalid(reason="Member to be added not specified")
    member_id = document["member"]
    if not member_id:
        raise Invalid(reason="Member can't be empty")
    if not isinstance(member_id, str) or len(member_id) > _NAME_MAX:
        raise Invalid(reason="Member must be the id of a project, at most 255 characters long")
    return member_id


def _answer(document: object) -> str:
    if not isinstance(document, dict):
        raise Invalid(reason='Expected a status in the form: {"status": "status"}')
    if "status" not in document:
        raise Invalid(reason="Status not specified")
    status = document["status"]
    if status not in _ANSWERS:
        raise Invalid(reason='Incorrect request: Status must be "pending", "accepted" or "rejected".')
    return str(status)
