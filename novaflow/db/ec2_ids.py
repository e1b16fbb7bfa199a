"""The short ids of EC2: a number for everything that has one, given at first sight and kept for ever.

Two that see a thing first in the same moment get one number for it. What was given never changes, so it is remembered here.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.inserts import insert_once
from novaflow.db.schema.ec2 import ec2_ids

INSTANCE: Final = "instance"
IMAGE: Final = "image"
VOLUME: Final = "volume"
SNAPSHOT: Final = "snapshot"

_REMEMBERED: Final = 65536
_AT_ONCE: Final = 500  # ids in one question
_ADD: Final = insert(ec2_ids)
_OF_NUMBERS: Final = select(ec2_ids.c.number, ec2_ids.c.resource_id).where(
    ec2_ids.c.kind == bindparam("b_kind"), ec2_ids.c.number.in_(bindparam("b_some", expanding=True))
)
_OF_RESOURCES: Final = select(ec2_ids.c.number, ec2_ids.c.resource_id).where(
    ec2_ids.c.kind == bindparam("b_kind"), ec2_ids.c.resource_id.in_(bindparam("b_some", expanding=True))
)


def shown(prefix: str, number: int) -> str:
    """An id as clients see it."""
    return f"{prefix}-{number:08x}"


class Ec2Ids:
    """Numbers of things, and things of numbers."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._numbers: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def numbers(self, kind: str, resources: Iterable[str]) -> dict[str, int]:
        """The number of each of these things of one kind; those that have none yet get one."""
        wanted = list(dict.fromkeys(resources))
        found = {one: self._numbers[kind, one] for one in wanted if (kind, one) in self._numbers}
        fresh = [one for one in wanted if one not in found]
        for some in _slices(fresh):
            known = await self._known(kind, some)
            without = [one for one in some if one not in known]
            if without:
                known |= await self._give(kind, without)
            self._remember(kind, known)
            found |= known
        return found

    async def number(self, kind: str, resource: str) -> int:
        """The number of one thing."""
        return (await self.numbers(kind, [resource]))[resource]

    async def resources(self, kind: str, numbers: Iterable[int]) -> dict[int, str]:
        """The things of this kind that have these numbers, by number; of unknown numbers nothing."""
        found: dict[int, str] = {}
        for some in _slices(list(dict.fromkeys(numbers))):
            rows = await self._ask(_OF_NUMBERS, kind, some)
            found |= {row.number: row.resource_id for row in rows}
        return found

    async def _known(self, kind: str, resources: Sequence[str]) -> dict[str, int]:
        rows = await self._ask(_OF_RESOURCES, kind, resources)
        return {row.resource_id: row.number for row in rows}

    async def _ask(self, question: Any, kind: str, some: Sequence[Any]) -> Sequence[Any]:
        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(question, {"b_kind": kind, "b_some": some})).all()

        return await self._db.read(work)

    async def _give(self, kind: str, resources: Sequence[str]) -> dict[str, int]:
        async def work(connection: AsyncConnection) -> None:
            for resource in resources:
                await insert_once(connection, _ADD, {"kind": kind, "resource_id": resource})

        await self._db.write(work)
        return await self._known(kind, resources)

    def _remember(self, kind: str, known: dict[str, int]) -> None:
        for resource, number in known.items():
            self._numbers[kind, resource] = number
        while len(self._numbers) > _REMEMBERED:
            self._numbers.popitem(last=False)


async def add_instances(connection: AsyncConnection, server_ids: Sequence[str]) -> None:
    """Numbers for servers that are being made, in the transaction that makes them."""
    rows = [{"kind": INSTANCE, "resource_id": server_id} for server_id in server_ids]
    await connection.execute(_ADD, rows if len(rows) > 1 else rows[0])


def _slices(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
