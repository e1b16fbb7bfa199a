"""One page of the image list as one statement: who sees what, the filters, the order, and where the page begins."""

import operator
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, false, func, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import images_rows as rows
from novaflow.db.schema.images import image_members, image_properties, image_tags, images
from novaflow.errors import Invalid
from novaflow.images.errors import ImageNotFound
from novaflow.images.image import Image, Status, Visibility
from novaflow.images.query import Filter, ImageQuery

_COMPARE: Final[dict[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ENUMS: Final = {"status": Status}
_NULL_SORTS_AS: Final[dict[str, object]] = {"name": "", "container_format": "", "disk_format": "", "size": 0}


async def page(connection: AsyncConnection, query: ImageQuery) -> list[Image]:
    """The images of one page. Raises Invalid when the marker is not an image."""
    wanted = [images.c.status != Status.DELETED, *_shown_to(query)]
    wanted += [_condition(each) for each in query.filters]
    wanted += [_has_property(name, value) for name, value in query.properties]
    wanted += [_has_tag(tag) for tag in query.tags]
    if query.marker is not None:
        wanted.append(_after(await _marker(connection, query.marker), query.order))
    order = [_sorted_by(key).asc() if way == "asc" else _sorted_by(key).desc() for key, way in query.order]
    statement = rows.SELECT.where(*wanted).order_by(*order).limit(query.limit)
    return [rows.read(row) for row in await connection.execute(statement)]


def _shown_to(query: ImageQuery) -> list[ColumnElement[bool]]:
    """What the viewer may see, less the community images that nobody asked for."""
    is_own = images.c.owner == query.project_id
    shown = []
    if not query.is_admin:
        is_open = images.c.visibility.in_((Visibility.PUBLIC, Visibility.COMMUNITY))
        shown.append(or_(is_own, is_open, _is_shared_with(query)))
    if query.visibility is None:
        shown.append(or_(is_own, images.c.visibility != Visibility.COMMUNITY))
    elif query.visibility != "all":
        shown.append(images.c.visibility == Visibility(query.visibility))
    return shown


def _is_shared_with(query: ImageQuery) -> ColumnElement[bool]:
    membership = [image_members.c.image_id == images.c.id, image_members.c.member_id == query.project_id]
    if query.member_status != "all":
        membership.append(image_members.c.status == query.member_status)
    return and_(images.c.visibility == Visibility.SHARED, exists().where(*membership))


def _condition(each: Filter) -> ColumnElement[bool]:
    column: ColumnElement[Any] = images.c[each.column]
    known = _ENUMS.get(each.column)
    value = each.value
    if known is not None:  # a status that does not exist is no image's status
        values = value if each.operator == "in" else (value,)
        return column.in_([known(text) for text in values if text in set(known)])
    if each.operator == "in":
        return column.in_(value) if value else false()
    compare = _COMPARE[each.operator]
    return compare(column, value)


def _has_property(name: str, value: str) -> ColumnElement[bool]:
    table = image_properties
    return exists().where(table.c.image_id == images.c.id, table.c.name == name, table.c.value == value)


def _has_tag(tag: str) -> ColumnElement[bool]:
    return exists().where(image_tags.c.image_id == images.c.id, image_tags.c.value == tag)


def _sorted_by(key: str) -> ColumnElement[Any]:
    column: ColumnElement[Any] = images.c[key]
    return func.coalesce(column, _NULL_SORTS_AS[key]) if key in _NULL_SORTS_AS else column


async def _marker(connection: AsyncConnection, image_id: str) -> Image:
    try:
        return await rows.fetch(connection, image_id)
    except ImageNotFound as error:
        raise Invalid(reason=str(error)) from error


def _after(marker: Image, order: tuple[tuple[str, str], ...]) -> ColumnElement[bool]:
    """Strictly behind the marker in this order: further by one key, equal in all keys before it."""
    equal: list[ColumnElement[bool]] = []
    further: list[ColumnElement[bool]] = []
    for key, way in order:
        value = getattr(marker, key)
        value = _NULL_SORTS_AS.get(key) if value is None else value
        column = _sorted_by(key)
        further.append(and_(*equal, column > value if way == "asc" else column < value))
        equal.append(column == value)
    return or_(*further)
