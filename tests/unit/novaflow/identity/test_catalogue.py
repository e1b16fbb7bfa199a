"""The catalogue in the forms of both versions."""

import pytest

from novaflow.identity.catalogue import expand, facts_of, has_valid_places, v2_catalogue, v3_catalogue
from novaflow.identity.models import Endpoint, Service

COMPUTE = Service(id="s1", type="compute_legacy", name="nova_legacy")
IDENTITY = Service(id="s2", type="identity", name="keystone")
OFF = Service(id="s3", type="off", enabled=False)
ENDPOINTS = (
    Endpoint(id="e1", service_id="s1", interface="public", url="http://n/v2/$(project_id)s", region_id="RegionOne"),
    Endpoint(id="e2", service_id="s1", interface="admin", url="http://n/v2/%(tenant_id)s", region_id="RegionOne"),
    Endpoint(id="e3", service_id="s1", interface="internal", url="http://n", region_id="RegionOne", enabled=False),
    Endpoint(id="e4", service_id="s2", interface="public", url="http://k:5000/v3", region_id="RegionOne"),
    Endpoint(id="e5", service_id="s3", interface="public", url="http://off", region_id="RegionOne"),
)
SERVICES = (COMPUTE, IDENTITY, OFF)


def test_v3_shows_enabled_services_with_their_places_filled_in() -> None:
    catalogue = v3_catalogue(SERVICES, ENDPOINTS, facts_of("u", "p"))

    assert [entry["type"] for entry in catalogue] == ["compute_legacy", "identity"]
    assert catalogue[0]["endpoints"] == [
        {"id": "e1", "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": "http://n/v2/p"},
        {"id": "e2", "interface": "admin", "region": "RegionOne", "region_id": "RegionOne", "url": "http://n/v2/p"},
    ]


def test_without_a_project_endpoints_that_need_one_are_left_out() -> None:
    catalogue = v3_catalogue(SERVICES, ENDPOINTS, facts_of("u", None))

    assert [entry["endpoints"] == [] for entry in catalogue] == [True, False]


def test_v2_groups_endpoints_by_region_and_shows_the_identity_service_at_v2() -> None:
    catalogue = v2_catalogue(SERVICES, ENDPOINTS, facts_of("u", "p"))

    assert catalogue == [
        {
            "endpoints": [
                {"region": "RegionOne", "id": "e1", "publicURL": "http://n/v2/p", "adminURL": "http://n/v2/p"}
            ],
            "endpoints_links": [],
            "type": "compute_legacy",
            "name": "nova_legacy",
        },
        {
            "endpoints": [{"region": "RegionOne", "id": "e4", "publicURL": "http://k:5000/v2.0"}],
            "endpoints_links": [],
            "type": "identity",
            "name": "keystone",
        },
    ]


@pytest.mark.parametrize(
    ("url", "is_valid"),
    [
        ("http://h", True),
        ("http://h/$(tenant_id)s/%(user_id)s", True),
        ("http://h/$(password)s", False),
        ("http://h/%(tenant_id)", False),
        ("http://h/$(tenant_id", False),
        ("http://h/50%", False),
    ],
)
def test_only_known_and_complete_places_are_taken(url: str, is_valid: bool) -> None:
    assert has_valid_places(url) is is_valid


def test_a_place_without_a_fact_makes_no_url() -> None:
    assert expand("http://h/$(project_id)s", {}) is None
    assert expand("http://h/100", {}) == "http://h/100"
