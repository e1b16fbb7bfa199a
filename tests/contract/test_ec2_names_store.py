"""What EC2 calls a server, from the moment it is made, on every kind of database."""

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_names import named
from novaflow.db.schema import ec2 as ec2_schema
from tests.support.cloud_records import Records, task_of


async def test_a_server_has_its_number_from_the_moment_it_is_made(records: Records) -> None:
    await records.host()
    server = await records.placed()

    plan = await records.servers.start_build(server.id, task_of(server), "c1")
    assigned = await records.servers.assignment(server.id, task_of(server), "c1")

    number = await Ec2Ids(records.database).number(ec2_ids.INSTANCE, server.id)
    assert plan.ec2.instance == assigned.plan.ec2.instance == f"i-{number:08x}"


async def test_a_server_that_was_made_before_it_had_a_number_gets_one(records: Records) -> None:
    await records.host()
    server, ids = await records.placed(kernel_id="kernel"), Ec2Ids(records.database)

    async def forget(connection: AsyncConnection) -> None:
        await connection.execute(delete(ec2_schema.ec2_ids).where(ec2_schema.ec2_ids.c.resource_id == server.id))

    await records.database.write(forget)
    plan = await records.servers.start_build(server.id, task_of(server), "c1")
    names = (await named(ids, plan)).ec2

    assert plan.ec2.instance == ""
    assert names.instance == f"i-{await ids.number(ec2_ids.INSTANCE, server.id):08x}"
    assert names.kernel == f"aki-{await ids.number(ec2_ids.IMAGE, 'kernel'):08x}"
    assert names.ramdisk == ""
