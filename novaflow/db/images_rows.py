"""Images read from and written to their rows, properties and tags; inside the caller's transaction.

An image is read in one statement, so that it is seen as it was at one moment: its properties and tags come as one JSON text each, by the
aggregate that either database has.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Text

from novaflow.db.schema.images import image_properties, image_tags, images
from novaflow.images.errors import ImageNotFound
from novaflow.images.image import Image, Status


class AsObject(GenericFunction[str]):
    """Names and values of a group as one JSON object; NULL or an empty object for none."""

    type = Text()
    name = "as_object"
    inherit_cache = True


class AsArray(GenericFunction[str]):
    """The values of a group as one JSON array; NULL or an empty array for none."""

    type = Text()
    name = "as_array"
    inherit_cache = True


_AGGREGATES: Final = {
    "as_object": {"sqlite": "json_group_object", "mysql": "JSON_OBJECTAGG", "mariadb": "JSON_OBJECTAGG"},
    "as_array": {"sqlite": "json_group_array", "mysql": "JSON_ARRAYAGG", "mariadb": "JSON_ARRAYAGG"},
}


@compiles(AsObject)
@compiles(AsArray)
def _as_json(element: AsObject | AsArray, compiler: SQLCompiler, **options: Any) -> str:
    name = _AGGREGATES[element.name][compiler.dialect.name]
    return f"{name}({compiler.process(element.clauses, **options)})"


_HANGING: Final = ("properties", "tags")
COLUMNS: Final = tuple(name for name in Image.__struct_fields__ if name not in _HANGING)
_PROPERTIES: Final = (
    select(AsObject(image_properties.c.name, image_properties.c.value))
    .where(image_properties.c.image_id == images.c.id)
    .scalar_subquery()
)
_TAGS: Final = select(AsArray(image_tags.c.value)).where(image_tags.c.image_id == images.c.id).scalar_subquery()
SELECT: Final = select(*(images.c[name] for name in COLUMNS), _PROPERTIES, _TAGS)
_ONE: Final = SELECT.where(images.c.id == bindparam("image_id"), images.c.status != Status.DELETED)
_LOCK: Final = select(images.c.id).where(images.c.id == bindparam("image_id")).with_for_update()
_OBJECT: Final = msgspec.json.Decoder(dict[str, str])
_ARRAY: Final = msgspec.json.Decoder(list[str])


async def fetch(connection: AsyncConnection, image_id: str, *, locked: bool = False) -> Image:
    """The image with that id, kept as it is until the transaction ends if `locked`. Raises ImageNotFound, also once deleted."""
    if locked:  # first and alone: a statement that waits for the lock may read all else as it was before
        await connection.execute(_LOCK, {"image_id": image_id})
    row = (await connection.execute(_ONE, {"image_id": image_id})).first()
    if row is None:
        raise ImageNotFound(key=image_id)
    return read(row)


def read(row: Sequence[Any]) -> Image:
    """The image in one row of SELECT."""
    *values, properties, tags = row
    facts = dict(zip(COLUMNS, values, strict=True))
    facts["properties"] = dict(sorted(_OBJECT.decode(properties or "{}").items()))
    facts["tags"] = tuple(sorted(_ARRAY.decode(tags or "[]")))
    return Image(**facts)


def columns(image: Image) -> dict[str, Any]:
    """What the row of `images` holds of it."""
    return {name: getattr(image, name) for name in COLUMNS}


async def write(connection: AsyncConnection, image: Image) -> None:
    """Insert a new image with all that hangs on it."""
    await connection.execute(insert(images).values(columns(image)))
    await _add(connection, image.id, image.properties, image.tags)


async def rewrite(connection: AsyncConnection, before: Image, after: Image) -> None:
    """Bring the rows of a locked image from `before` to `after`."""
    await connection.execute(update(images).where(images.c.id == before.id).values(columns(after)))
    changed = {name for name, value in before.properties.items() if after.properties.get(name) != value}
    gone = set(before.tags) - set(after.tags)
    await _remove(connection, before.id, changed, gone)
    properties = {name: value for name, value in after.properties.items() if before.properties.get(name) != value}
    await _add(connection, before.id, properties, set(after.tags) - set(before.tags))


async def _remove(connection: AsyncConnection, image_id: str, names: Iterable[str], tags: Iterable[str]) -> None:
    if names := tuple(names):
        table = image_properties
        await connection.execute(delete(table).where(table.c.image_id == image_id, table.c.name.in_(names)))
    if tags := tuple(tags):
        table = image_tags
        await connection.execute(delete(table).where(table.c.image_id == image_id, table.c.value.in_(tags)))


async def _add(connection: AsyncConnection, image_id: str, properties: dict[str, str], tags: Iterable[str]) -> None:
    if properties:
        rows = [{"image_id": image_id, "name": name, "value": value} for name, value in properties.items()]
        await connection.execute(insert(image_properties), rows)
    if tags := tuple(tags):
        await connection.execute(insert(image_tags), [{"image_id": image_id, "value": tag} for tag in tags])
