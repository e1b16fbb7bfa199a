"""What the resources of v3 have in common: a collection that is listed and added to, members that are shown, changed, deleted.

Rights are Keystone's defaults as far as roles go: administrators may do everything; what others may do, a resource says itself.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec
from aiohttp import web

from novaflow.errors import Invalid
from novaflow.identity.models import DEFAULT_DOMAIN
from novaflow.models import Value
from services.identity.access import require_admin
from services.identity.bodies import Fields, check, read_member, sort_out
from services.identity.links import View, listed, matching, with_link
from services.web import json_response

T = TypeVar("T", bound=Value)


class Kept(Protocol[T]):
    """The records of one kind, as the database keeps them. Raises NotFound where there is none with that id."""

    async def get(self, key: str) -> T:
        """One of them."""
        ...

    async def all(self, **equal: object) -> list[T]:
        """Those whose columns have these values, by name."""
        ...

    async def delete(self, key: str, /) -> None:
        """Forget one, with all that cannot be without it."""
        ...


class Resource(ABC, Generic[T]):
    """One collection at /v3/<collection>. A subclass says what its records look like and how they are made."""

    collection: ClassVar[str]
    member: ClassVar[str]
    fields: ClassVar[Fields]
    filters: ClassVar[tuple[str, ...]] = ("name",)
    lives_in_domain: ClassVar[bool] = (
        False  # without `domain_id`, a new one is of the asker's domain or the default one
    )
    has_text: ClassVar[bool] = True  # a description that is null is kept as an empty one

    def __init__(self, records: Kept[T]) -> None:
        self._records = records

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        collection, member = f"/v3/{self.collection}", f"/v3/{self.collection}/{{id}}"
        return (
            web.get(collection, self.index),
            web.post(collection, self.create),
            web.get(member, self.show),
            web.patch(member, self.update),
            web.delete(member, self.delete),
        )

    async def index(self, request: web.Request) -> web.Response:
        """The collection, narrowed down by the query."""
        self.check_index(request)
        views = [self.linked(request, record) for record in await self.find(request)]
        return json_response(listed(request, self.collection, matching(request, views, self.filters)))

    async def create(self, request: web.Request) -> web.Response:
        """A new member."""
        claims = require_admin(request, f"create_{self.member}")
        body = await read_member(request, self.member)
        check(body, self.fields, is_new=True)
        if self.lives_in_domain and not body.get("domain_id"):
            body["domain_id"] = (claims.domain.id if claims.domain else None) or DEFAULT_DOMAIN
        record = await self.make(body)
        return json_response({self.member: self.linked(request, record)}, 201)

    async def show(self, request: web.Request) -> web.Response:
        """One member."""
        key = request.match_info["id"]
        self.check_show(request, key)
        record = await self._records.get(key)
        return json_response({self.member: await self.detailed(request, record)})

    async def update(self, request: web.Request) -> web.Response:
        """Change a member."""
        require_admin(request, f"update_{self.member}")
        key = request.match_info["id"]
        body = await read_member(request, self.member)
        check(body, self.fields, is_new=False)
        if body.get("id", key) != key:
            raise Invalid(reason=f"Cannot change {self.member} ID")
        record = await self.change(key, body)
        return json_response({self.member: self.linked(request, record)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a member."""
        require_admin(request, f"delete_{self.member}")
        await self._records.delete(request.match_info["id"])
        return web.Response(status=204)

    def check_index(self, request: web.Request) -> None:
        """Raises Forbidden unless the asker may list."""
        require_admin(request, f"list_{self.collection}")

    def check_show(self, request: web.Request, key: str) -> None:
        """Raises Forbidden unless the asker may see this member."""
        _ = key
        require_admin(request, f"get_{self.member}")

    async def find(self, request: web.Request) -> Iterable[T]:
        """The records to list; those that the query asks for by name or domain are picked by the database."""
        exact = {name: request.query[name] for name in ("name", "domain_id") if name in request.query}
        return await self._records.all(**{name: value for name, value in exact.items() if name in self.filters})

    async def detailed(self, request: web.Request, record: T) -> View:
        """A member as it is shown alone."""
        return self.linked(request, record)

    def linked(self, request: web.Request, record: T) -> View:
        """A member with its address."""
        return with_link(request, self.collection, self.view(record))

    @abstractmethod
    def view(self, record: T) -> View:
        """A member without its address."""

    @abstractmethod
    async def make(self, body: Mapping[str, Any]) -> T:
        """Store a new record from a checked body."""

    @abstractmethod
    async def change(self, key: str, body: Mapping[str, Any]) -> T:
        """Change a record by a checked body."""

    def facts(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a new record: what `fields` names, the rest as `extra`, and a new id."""
        ours, extra = sort_out(body, self.fields)
        return {"id": uuid.uuid4().hex, **self._tidy(ours), "extra": extra}

    async def changes(self, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that a body changes; extra attributes are added to those that are there, null takes one away."""
        ours, extra = sort_out(body, self.fields)
        if extra:
            before: dict[str, Any] = msgspec.structs.asdict(await self._records.get(key))["extra"]
            ours["extra"] = {name: value for name, value in (before | extra).items() if value is not None}
        return self._tidy(ours)

    def _tidy(self, columns: dict[str, Any]) -> dict[str, Any]:
        if self.has_text and columns.get("description", "") is None:
            columns["description"] = ""
        return columns
