"""Floating addresses: each is one project's, and for one server at a time."""

import asyncio

import pytest

from novaflow.db.floating_addresses import FloatingAddresses
from novaflow.errors import Conflict, Invalid, Missing, NotFound, QuotaExceeded
from novaflow.quotas import QuotaLimits
from novaflow.states import Event
from tests.support.cloud_records import NETWORK, Records, request, task_of

POOL = "203.0.113.0/28"  # 14 addresses


@pytest.fixture
def floating(records: Records) -> FloatingAddresses:
    return FloatingAddresses(records.database, POOL)


async def networked(records: Records) -> str:
    """The id of a server that has an address."""
    await records.host()
    server = await records.placed()
    await records.servers.advance(server.id, task_of(server), Event.BUILD_STARTED, host="c1")
    await records.servers.allocate_network(server.id, task_of(server), "c1", NETWORK)
    return server.id


async def test_of_many_at_the_limit_those_that_fit_are_given(records: Records, floating: FloatingAddresses) -> None:
    await records.quotas.set("p1", {"floating_ips": 3})

    results = await asyncio.gather(*(floating.allocate("p1", QuotaLimits()) for _ in range(9)), return_exceptions=True)

    assert sum(isinstance(result, QuotaExceeded) for result in results) == 6
    assert len({address.ip for address in await floating.list("p1")}) == 3
    assert (await records.quotas.standing("p1", "", QuotaLimits())).of_project.floating_ips == 3


async def test_no_address_is_given_twice_and_none_is_left_over(floating: FloatingAddresses) -> None:
    results = await asyncio.gather(
        *(floating.allocate(f"p{number % 4}", QuotaLimits()) for number in range(16)), return_exceptions=True
    )

    assert sum(isinstance(result, Missing) for result in results) == 2
    assert len({address.ip for address in await floating.list()}) == 14


async def test_an_address_stands_for_one_of_a_servers(records: Records, floating: FloatingAddresses) -> None:
    server_id, address = await networked(records), await floating.allocate("p1", QuotaLimits())
    fixed = (await records.servers.get(server_id)).addresses[0].ip

    await floating.associate(address.ip, server_id)
    await floating.associate(address.ip, server_id, fixed)

    kept = await floating.get(address.id)
    assert (kept.server_id, kept.fixed_ip) == (server_id, fixed)
    assert await floating.of_servers([server_id]) == {server_id: [kept]}
    with pytest.raises(Invalid, match="Specified fixed address not assigned to instance"):
        await floating.associate(address.ip, server_id, "10.9.9.9")


async def test_a_server_without_an_address_takes_none(records: Records, floating: FloatingAddresses) -> None:
    server, address = await records.made(), await floating.allocate("p1", QuotaLimits())

    with pytest.raises(Invalid, match="No fixed IPs associated to instance"):
        await floating.associate(address.ip, server.id)


async def test_an_address_of_another_project_is_not_there(records: Records, floating: FloatingAddresses) -> None:
    server_id, theirs = await networked(records), await floating.allocate("p2", QuotaLimits())

    with pytest.raises(NotFound):
        await floating.associate(theirs.ip, server_id)


async def test_an_address_is_taken_from_a_server_once(records: Records, floating: FloatingAddresses) -> None:
    server_id, address = await networked(records), await floating.allocate("p1", QuotaLimits())
    await floating.associate(address.ip, server_id)

    await floating.disassociate(address.ip, server_id)

    with pytest.raises(Conflict):
        await floating.disassociate(address.ip, server_id)
    await floating.release(address.id)
    with pytest.raises(NotFound):
        await floating.release(address.id)


async def test_a_deleted_server_leaves_its_address_to_the_project(
    records: Records, floating: FloatingAddresses
) -> None:
    server_id, address = await networked(records), await floating.allocate("p1", QuotaLimits())
    await floating.associate(address.ip, server_id)

    ordered = await records.servers.order(
        request(2), await records.servers.get(server_id), "delete", Event.DELETE_ORDERED
    )
    await records.servers.advance(server_id, task_of(ordered), Event.DELETED, host="c1")

    assert await floating.get(address.id) == address
