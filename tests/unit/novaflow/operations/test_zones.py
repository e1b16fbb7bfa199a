"""Zones are what the services say they are in."""

from datetime import UTC, datetime

from novaflow.hosts import ServiceRecord
from novaflow.operations.services import zones_of

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def service(number: int, zone: str, *, is_enabled: bool = True, is_up: bool = True) -> ServiceRecord:
    return ServiceRecord(
        id=number,
        uuid=f"00000000-0000-0000-0000-{number:012}",
        binary="nova-compute",
        host=f"c{number}",
        zone=zone,
        is_enabled=is_enabled,
        is_up=is_up,
        updated_at=NOW,
    )


def test_a_zone_is_available_while_one_of_its_services_is_enabled() -> None:
    zones = zones_of([service(1, "a", is_enabled=False), service(2, "a"), service(3, "b", is_enabled=False)])

    assert [(zone.name, zone.is_available) for zone in zones] == [("a", True), ("b", False)]


def test_available_zones_come_first_and_show_their_enabled_services() -> None:
    zones = zones_of([service(1, "b", is_enabled=False), service(2, "a"), service(3, "a", is_enabled=False)])

    assert [zone.name for zone in zones] == ["a", "b"]
    assert [one.host for one in zones[0].services] == ["c2"]
    assert zones[1].services == ()


def test_a_service_that_is_down_keeps_its_zone_available_as_in_nova() -> None:
    assert [zone.is_available for zone in zones_of([service(1, "a", is_up=False)])] == [True]


def test_no_services_make_no_zones() -> None:
    assert zones_of([]) == []
