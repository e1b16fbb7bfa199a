"""Flavors, and services with their signs of life."""

import asyncio

import pytest

from novaflow.errors import Conflict, NotFound
from novaflow.models import Flavor
from tests.support.cloud_records import NOW, Records, request

SMALL = Flavor(id="s", name="small", vcpus=1, ram_mb=64, disk_gb=0, extra_specs={"a": "1"}, description="d")


async def test_a_fresh_cloud_has_icehouses_flavors(records: Records) -> None:
    found = [(f.id, f.name, f.vcpus, f.ram_mb, f.disk_gb) for f in await records.flavors.all()]

    assert found == [
        ("1", "m1.tiny", 1, 512, 1),
        ("2", "m1.small", 1, 2048, 20),
        ("3", "m1.medium", 2, 4096, 40),
        ("4", "m1.large", 4, 8192, 80),
        ("5", "m1.xlarge", 8, 16384, 160),
    ]


async def test_a_flavor_is_read_as_it_was_made_and_gone_when_deleted(records: Records) -> None:
    await records.flavors.create(SMALL)

    assert await records.flavors.get("s") == SMALL
    await records.flavors.delete("s")
    for late in (records.flavors.get("s"), records.flavors.delete("s"), records.flavors.set_extra_specs("s", {})):
        with pytest.raises(NotFound, match=r"Flavor s could not be found\."):
            await late


async def test_ids_and_names_are_taken_once(records: Records) -> None:
    results = await asyncio.gather(*(records.flavors.create(SMALL) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(result, Flavor) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 4
    with pytest.raises(Conflict, match=r"Flavor with name m1.tiny already exists\."):
        await records.flavors.create(Flavor(id="t", name="m1.tiny", vcpus=1, ram_mb=1, disk_gb=1))
    with pytest.raises(Conflict, match=r"Flavor with ID 1 already exists\."):
        await records.flavors.create(Flavor(id="1", name="mine", vcpus=1, ram_mb=1, disk_gb=1))


async def test_extra_specs_set_at_once_are_all_kept(records: Records) -> None:
    await records.flavors.create(SMALL)

    await asyncio.gather(*(records.flavors.set_extra_specs("s", {f"k{number}": "v"}) for number in range(6)))
    await records.flavors.delete_extra_spec("s", "a")

    assert (await records.flavors.get("s")).extra_specs == {f"k{number}": "v" for number in range(6)}


async def test_a_private_flavor_is_seen_by_whom_it_is_shared_with(records: Records) -> None:
    await records.flavors.create(Flavor(id="p", name="private", vcpus=1, ram_mb=1, disk_gb=1, is_public=False))

    await records.flavors.add_access("p", "p1")

    assert "p" in {flavor.id for flavor in await records.flavors.all(project_id="p1")}
    assert "p" not in {flavor.id for flavor in await records.flavors.all(project_id="p2")}
    assert await records.flavors.projects("p") == ["p1"]
    with pytest.raises(Conflict):
        await records.flavors.add_access("p", "p1")
    await records.flavors.remove_access("p", "p1")
    with pytest.raises(NotFound):
        await records.flavors.remove_access("p", "p1")
    await records.flavors.add_access("p", "p1")
    await records.flavors.delete("p")
    assert await records.flavors.projects("p") == []


async def test_a_service_is_up_while_it_beats(records: Records) -> None:
    await records.services.beat("nova-scheduler", "s1", "internal")
    await records.clock.sleep(60)
    (fresh,) = await records.services.all(records.clock.now(), 60)
    await records.clock.sleep(0.001)
    (late,) = await records.services.all(records.clock.now(), 60)

    assert (fresh.is_up, late.is_up) == (True, False)
    assert (fresh.binary, fresh.host, fresh.zone, fresh.updated_at) == ("nova-scheduler", "s1", "internal", NOW)
    await records.services.beat("nova-scheduler", "s1", "internal")
    (again,) = await records.services.all(records.clock.now(), 60)
    assert (again.id, again.uuid, again.is_up) == (fresh.id, fresh.uuid, True)


async def test_services_are_disabled_and_forced_down(records: Records) -> None:
    await records.services.beat("nova-compute", "c1", "nova")
    (service,) = await records.services.all(NOW, 60)

    await records.services.set_enabled(service.id, is_enabled=False, reason="why")
    await records.services.set_forced_down(service.id, is_forced_down=True)
    (changed,) = await records.services.all(NOW, 60)
    await records.services.set_enabled(service.id, is_enabled=True, reason=None)
    (enabled,) = await records.services.all(NOW, 60)

    assert (changed.is_enabled, changed.disabled_reason, changed.is_up, changed.is_forced_down) == (
        False,
        "why",
        False,
        True,
    )
    assert (enabled.is_enabled, enabled.disabled_reason) == (True, None)
    with pytest.raises(NotFound):
        await records.services.set_enabled(service.id + 1, is_enabled=True, reason=None)


async def test_a_deleted_service_takes_its_host_along_unless_it_has_servers(records: Records) -> None:
    await records.host()
    server = await records.active()
    (service,) = await records.services.all(NOW, 60)

    with pytest.raises(Conflict):
        await records.services.delete(service.id)
    await records.servers.delete_locally(request(2), server)
    await records.services.delete(service.id)

    assert await records.services.all(NOW, 60) == []
    assert await records.hosts.all(NOW, 60) == []
    with pytest.raises(NotFound):
        await records.services.delete(service.id)
