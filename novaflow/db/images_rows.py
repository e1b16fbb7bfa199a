"""Images read from and written to their rows, properties and tags; inside the caller's transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import RowMapping, delete, insert, literal_column, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from novaflow.db.schema.images import image_properties, image_tags, images
from novaflow.images.errors import ImageNotFound
from novaflow.images.image import Image, Status

_HANGING: Final = ("properties", "tags")
COLUMNS: Final = tuple(name for name in Image.__struct_fields__ if name not in _HANGING)
SELECT: Final = select(*(images.c[name] for name in COLUMNS))


async def fetch(connection: AsyncConnection, image_id: str, *, locked: bool = False) -> Image:
    """The image with that id, kept as it is until the transaction ends if `locked`. Raises ImageNotFound, also once deleted."""
    query = SELECT.where(images.c.id == image_id, images.c.status != Status.DELETED)
    row = (await connection.execute(query.with_for_update() if locked else query)).mappings().first()
    if row is None:
        raise ImageNotFound(key=image_id)
    return (await completed(connection, [row]))[0]


async def completed(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[Image]:
    """These rows of `images` with their properties and tags, in one more statement."""
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    properties: dict[str, dict[str, str]] = {image_id: {} for image_id in ids}
    tags: dict[str, list[str]] = {image_id: [] for image_id in ids}
    of_properties = select(image_properties).where(image_properties.c.image_id.in_(ids))
    of_tags = select(
        image_tags.c.image_id, image_tags.c.value.label("name"), literal_column("NULL", Text).label("value")
    ).where(image_tags.c.image_id.in_(ids))
    for image_id, name, value in await connection.execute(union_all(of_properties, of_tags)):
        if value is None:
            tags[image_id].append(name)
        else:
            properties[image_id][name] = value
    return [
        Image(**row, properties=dict(sorted(properties[row["id"]].items())), tags=tuple(sorted(tags[row["id"]])))
        for row in rows
    ]


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
