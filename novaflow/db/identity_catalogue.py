"""Regions, services and endpoints. A change of services or endpoints changes every token's catalogue, so it counts the revision up."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_records import CountedRecords, Records, bump
from novaflow.db.schema.identity import ENDPOINTS, REGIONS, SERVICES
from novaflow.errors import Invalid, NotFound, Protected
from novaflow.identity.models import Endpoint, Region, Service


class Regions(Records[Region]):
    """The regions."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, REGIONS, Region, "region")

    async def create(self, region: Region) -> Region:
        """Store a new region. Raises Conflict; NotFound if its parent is not there."""

        async def work(connection: AsyncConnection) -> Region:
            await self._check_parent(connection, region)
            return await self.add(connection, region, is_id_chosen=True)

        return await self._db.write(work)

    async def update(self, key: str, changes: Mapping[str, Any]) -> Region:
        """Change a region. Raises NotFound."""

        async def work(connection: AsyncConnection) -> Region:
            after = await self.change(connection, await self.fetch(connection, key, locked=True), changes)
            await self._check_parent(connection, after)
            return after

        return await self._db.write(work)

    async def delete(self, key: str) -> None:
        """Delete a region. Raises NotFound; Protected while something is in it."""

        async def work(connection: AsyncConnection) -> None:
            region = await self.fetch(connection, key, locked=True)
            inside = select(ENDPOINTS.c.id).where(ENDPOINTS.c.region_id == key).limit(1)
            below = select(REGIONS.c.id).where(REGIONS.c.parent_region_id == key).limit(1)
            for query in (inside, below):
                if (await connection.execute(query)).first() is not None:
                    raise Protected(
                        reason=f"Unable to delete region {key} because it or its child regions have associated endpoints."
                    )
            await self.remove(connection, region)

        await self._db.write(work)

    async def ensure(self, connection: AsyncConnection, key: str) -> None:
        """Have a region of that name."""
        if not await self.select(connection, REGIONS.c.id == key):
            await self.add(connection, Region(id=key), is_id_chosen=True)

    async def _check_parent(self, connection: AsyncConnection, region: Region) -> None:
        seen = {region.id}
        above = region.parent_region_id
        while above is not None:
            if above in seen:
                raise Invalid(
                    reason=f"The specified parent region {region.parent_region_id} would create a circular region hierarchy."
                )
            seen.add(above)
            above = (await self.fetch(connection, above)).parent_region_id


class Services(CountedRecords[Service]):
    """The services."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, SERVICES, Service, "service")

    async def delete(self, key: str) -> None:
        """Delete a service and its endpoints. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            service = await self.fetch(connection, key, locked=True)
            await connection.execute(delete(ENDPOINTS).where(ENDPOINTS.c.service_id == key))
            await self.remove(connection, service)

        await self._db.write(work)


class Endpoints(Records[Endpoint]):
    """The endpoints."""

    def __init__(self, db: Database, services: Services, regions: Regions) -> None:
        super().__init__(db, ENDPOINTS, Endpoint, "endpoint")
        self._services = services
        self._regions = regions

    async def create(self, *endpoints: Endpoint, makes_region: bool = False) -> None:
        """Store new endpoints, all or none. Raises Invalid naming a service or region that is not there.

        With `makes_region`, a region that is not there is made, as v2.0 and the `region` of v3 do.
        """

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            for endpoint in endpoints:
                await self._check(connection, endpoint, makes_region=makes_region)
                await self.add(connection, endpoint)

        await self._db.write(work)

    async def update(self, key: str, changes: Mapping[str, Any], *, makes_region: bool = False) -> Endpoint:
        """Change an endpoint. Raises NotFound; Invalid naming a service or region that is not there."""

        async def work(connection: AsyncConnection) -> Endpoint:
            await bump(connection)
            before = await self.fetch(connection, key, locked=True)
            wanted = Endpoint(
                id=key,
                service_id=changes.get("service_id", before.service_id),
                interface="",
                url="",
                region_id=changes.get("region_id", before.region_id),
            )
            await self._check(connection, wanted, makes_region=makes_region)
            return await self.change(connection, before, changes)

        return await self._db.write(work)

    async def delete(self, *keys: str) -> None:
        """Delete endpoints. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            for key in keys:
                await self.remove(connection, await self.fetch(connection, key, locked=True))

        await self._db.write(work)

    async def publish(self, region: str, wanted: Iterable[tuple[Service, Iterable[Endpoint]]]) -> None:
        """Have these services with these URLs in a region; endpoints are found again by service type, name and interface."""

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            await self._regions.ensure(connection, region)
            for service, endpoints in wanted:
                same = (SERVICES.c.type == service.type, SERVICES.c.name == service.name)
                stored = [*await self._services.select(connection, *same)] or [
                    await self._services.add(connection, service)
                ]
                for endpoint in endpoints:
                    await self._publish(connection, stored[0].id, endpoint)

        await self._db.write(work)

    async def _publish(self, connection: AsyncConnection, service_id: str, endpoint: Endpoint) -> None:
        stored = await self.select(
            connection,
            ENDPOINTS.c.service_id == service_id,
            ENDPOINTS.c.interface == endpoint.interface,
            ENDPOINTS.c.region_id == endpoint.region_id,
        )
        if stored:
            await self.change(connection, stored[0], {"url": endpoint.url})
            return
        await self.add(connection, msgspec.structs.replace(endpoint, service_id=service_id))

    async def _check(self, connection: AsyncConnection, endpoint: Endpoint, *, makes_region: bool) -> None:
        try:
            await self._services.fetch(connection, endpoint.service_id, locked=True)
            if endpoint.region_id is None:
                return
            if makes_region:
                await self._regions.ensure(connection, endpoint.region_id)
            else:
                await self._regions.fetch(connection, endpoint.region_id)
        except NotFound as error:
            raise Invalid(reason=f"Could not find {error.kind}: {error.key}.") from error
