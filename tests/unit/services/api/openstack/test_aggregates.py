"""Host aggregates over HTTP, as clients of Nova see them, and the zones that they make."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from novaflow.db.services import Services
from services.api.openstack.aggregates import UUID
from services.api.openstack.microversion import MAX
from services.api.openstack.schema import is_uuid
from tests.support.clocks import ManualClock
from tests.support.compute_api import ComputeApi, Reply, compute_api
from tests.support.servers import a_host, a_server

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
EMPTY = {
    "id": 1,
    "name": "fast",
    "hosts": [],
    "metadata": {"availability_zone": "north"},
    "availability_zone": "north",
    "created_at": "2026-08-01T12:00:00.000000",
    "updated_at": None,
    "deleted_at": None,
    "deleted": False,
}


@pytest.fixture
async def api(tmp_path: Path) -> Any:
    async with compute_api(tmp_path, clock=ManualClock(NOON)) as running:
        for host in ("c1", "c2"):
            await a_host(running, host)
        yield running


async def create(api: ComputeApi, name: str = "fast", zone: str | None = "north", **more: Any) -> Reply:
    return await api.ask("POST", "/os-aggregates", {"aggregate": {"name": name, "availability_zone": zone, **more}})


async def act(api: ComputeApi, action: str, aggregate: int = 1, **fields: Any) -> Reply:
    return await api.ask("POST", f"/os-aggregates/{aggregate}/action", {action: fields})


async def update(api: ComputeApi, aggregate: int = 1, **fields: Any) -> Reply:
    return await api.ask("PUT", f"/os-aggregates/{aggregate}", {"aggregate": fields})


async def zones(api: ComputeApi) -> dict[str, list[str] | None]:
    found = (await api.get("/os-availability-zone/detail"))["availabilityZoneInfo"]
    return {zone["zoneName"]: sorted(zone["hosts"] or {}) for zone in found}


class TestAnAggregate:
    async def test_is_made_without_hosts_and_shown(self, api: ComputeApi) -> None:
        reply = await create(api)

        made = {key: value for key, value in EMPTY.items() if key not in ("hosts", "metadata")}
        assert (reply.status, reply.body) == (200, {"aggregate": made})
        assert await api.get("/os-aggregates/1") == {"aggregate": EMPTY}
        assert await api.get("/os-aggregates") == {"aggregates": [EMPTY]}

    async def test_has_a_uuid_since_2_41(self, api: ComputeApi) -> None:
        await create(api)

        assert "uuid" not in (await api.get("/os-aggregates/1", version="2.37"))["aggregate"]
        if MAX >= UUID:
            shown = (await api.get("/os-aggregates/1", version="2.41"))["aggregate"]
            assert is_uuid(shown["uuid"])

    async def test_a_name_is_taken_once(self, api: ComputeApi) -> None:
        await create(api)
        await create(api, "slow")

        again, renamed = await create(api), await update(api, 2, name="fast")

        said = "Aggregate fast already exists."
        assert (again.status, again.message) == (409, said)
        assert (renamed.status, renamed.message) == (409, said)

    async def test_may_be_renamed_and_moved_to_another_zone(self, api: ComputeApi) -> None:
        await create(api)

        reply = await update(api, name="faster", availability_zone="south")

        changed = {"name": "faster", "availability_zone": "south", "metadata": {"availability_zone": "south"}}
        assert (reply.status, reply.body["aggregate"]) == (
            200,
            EMPTY | changed | {"updated_at": "2026-08-01T12:00:00.000000"},
        )

    async def test_metadata_is_added_changed_and_taken_away(self, api: ComputeApi) -> None:
        await create(api)
        await act(api, "set_metadata", metadata={"ssd": "true", "gpu": "no"})

        reply = await act(api, "set_metadata", metadata={"ssd": "false", "gpu": None})

        assert reply.status == 200
        assert reply.body["aggregate"]["metadata"] == {"ssd": "false", "availability_zone": "north"}

    async def test_the_zone_may_be_set_as_metadata(self, api: ComputeApi) -> None:
        await create(api, zone=None)

        reply = await act(api, "set_metadata", metadata={"availability_zone": "east"})

        assert reply.body["aggregate"]["availability_zone"] == "east"

    async def test_a_zone_without_a_name_is_refused(self, api: ComputeApi) -> None:
        await create(api)

        updated = await update(api, availability_zone=None)
        set_to = await act(api, "set_metadata", metadata={"availability_zone": None})

        said = "Reason: Aggregate fast does not support empty named availability zone."
        assert (updated.status, updated.message) == (400, f"Cannot update aggregate 1. {said}")
        assert (set_to.status, set_to.message) == (400, f"Cannot update metadata of aggregate 1. {said}")

    async def test_is_deleted_when_it_has_no_hosts(self, api: ComputeApi) -> None:
        await create(api)
        await act(api, "add_host", host="c1")

        refused = await api.ask("DELETE", "/os-aggregates/1")
        await act(api, "remove_host", host="c1")
        deleted = await api.ask("DELETE", "/os-aggregates/1")

        said = "Cannot remove host from aggregate 1. Reason: Host aggregate is not empty."
        assert (refused.status, refused.message) == (400, said)
        assert (deleted.status, deleted.body) == (200, None)
        assert (await api.ask("GET", "/os-aggregates/1")).message == "Aggregate 1 could not be found."


class TestHosts:
    async def test_a_host_is_in_the_zone_of_its_aggregate(self, api: ComputeApi) -> None:
        await create(api)

        added = await act(api, "add_host", host="c1")

        assert (added.status, added.body["aggregate"]["hosts"]) == (200, ["c1"])
        assert await zones(api) == {"nova": ["c2"], "north": ["c1"]}
        services = (await api.get("/os-services?host=c1"))["services"]
        assert [service["zone"] for service in services] == ["north"]
        assert [host["host_name"] for host in (await api.get("/os-hosts?zone=north"))["hosts"]] == ["c1"]

        removed = await act(api, "remove_host", host="c1")

        assert removed.body["aggregate"]["hosts"] == []
        assert await zones(api) == {"nova": ["c1", "c2"]}

    async def test_only_the_computes_of_a_machine_are_in_it(self, api: ComputeApi) -> None:
        await Services(api.database, api.clock).beat("nova-conductor", "c1", "internal")
        await create(api)
        await act(api, "add_host", host="c1")

        services = (await api.get("/os-services?host=c1"))["services"]

        assert {service["binary"]: service["zone"] for service in services} == {
            "nova-compute": "north",
            "nova-conductor": "internal",
        }

    async def test_a_host_may_be_in_several_aggregates_of_one_zone(self, api: ComputeApi) -> None:
        for name, zone in (("fast", "north"), ("ssd", "north"), ("gpu", None)):
            await create(api, name, zone)

        assert [(await act(api, "add_host", number, host="c1")).status for number in (1, 2, 3)] == [200, 200, 200]
        assert await zones(api) == {"nova": ["c2"], "north": ["c1"]}

    async def test_a_host_in_another_zone_is_refused(self, api: ComputeApi) -> None:
        await create(api)
        await create(api, "slow", "south")
        await act(api, "add_host", host="c1")

        refused = await act(api, "add_host", 2, host="c1")

        said = "Cannot add host to aggregate 2. Reason: One or more hosts already in availability zone(s) ['north']."
        assert (refused.status, refused.message) == (409, said)

    async def test_nor_does_a_zone_come_to_a_host_that_is_in_another(self, api: ComputeApi) -> None:
        await create(api)
        await create(api, "plain", None)
        for aggregate in (1, 2):
            await act(api, "add_host", aggregate, host="c1")

        refused = await update(api, 2, availability_zone="south")

        said = "Cannot update aggregate 2. Reason: One or more hosts already in availability zone(s) ['north']."
        assert (refused.status, refused.message) == (400, said)

    async def test_no_server_changes_its_zone(self, api: ComputeApi) -> None:
        await create(api)
        await create(api, "plain", None)
        await act(api, "add_host", host="c1")
        await a_server(api, host="c1")
        await a_server(api, host="c2")

        moved = await update(api, availability_zone="south")
        joined = await act(api, "add_host", host="c2")
        left = await act(api, "remove_host", host="c1")

        said = "Cannot update aggregate 1. Reason: One or more hosts contain instances in this zone."
        assert (moved.status, moved.message) == (400, said)
        assert joined.status == left.status == 409
        assert "would change from 'None' to 'north' but the host already has 1 instance(s)" in joined.message
        assert "would change from 'north' to 'None' but the host already has 1 instance(s)" in left.message
        assert (await act(api, "add_host", 2, host="c1")).status == 200
        assert (await update(api, name="renamed", availability_zone="north")).status == 200

    @pytest.mark.parametrize(
        ("action", "aggregate", "host", "status", "said"),
        [
            ("add_host", 1, "c9", 404, "Compute host c9 could not be found."),
            ("add_host", 7, "c1", 404, "Aggregate 7 could not be found."),
            ("add_host", 1, "c1", 409, "Aggregate 1 already has host c1."),
            ("remove_host", 1, "c2", 404, "Cannot remove host c2 in aggregate 1"),
            ("remove_host", 7, "c1", 404, "Cannot remove host c1 in aggregate 7"),
        ],
    )
    async def test_what_cannot_be_is_said_in_novas_words(
        self, api: ComputeApi, action: str, aggregate: int, host: str, status: int, said: str
    ) -> None:
        await create(api)
        await act(api, "add_host", host="c1")

        reply = await act(api, action, aggregate, host=host)

        assert (reply.status, reply.message) == (status, said)

    async def test_a_host_that_is_gone_is_in_no_aggregate(self, api: ComputeApi) -> None:
        await create(api)
        await act(api, "add_host", host="c1")
        (service,) = (await api.get("/os-services?host=c1"))["services"]

        await api.ask("DELETE", f"/os-services/{service['id']}", version="2.11")

        assert (await api.get("/os-aggregates/1"))["aggregate"]["hosts"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/os-aggregates/one", None, "Invalid input received: id must be an integer"),
        ("POST", "/os-aggregates", {"aggregate": {}}, "'name' is a required property"),
        ("POST", "/os-aggregates", {"aggregate": {"name": " x"}}, "An invalid 'name' value was provided."),
        ("PUT", "/os-aggregates/1", {"aggregate": {}}, "{} is not valid under any of the given schemas"),
        ("POST", "/os-aggregates/1/action", {"add_host": {"host": "a b"}}, "Invalid input for field/attribute host."),
        ("POST", "/os-aggregates/1/action", {"set_metadata": {"metadata": {"a": 1}}}, "is not of type 'string'"),
        ("POST", "/os-aggregates/1/action", {"burn": {}}, "There is no such action: burn"),
    ],
)
async def test_a_bad_request_is_refused(api: ComputeApi, method: str, path: str, body: Any, said: str) -> None:
    reply = await api.ask(method, path, body)

    assert reply.status == 400
    assert said in reply.message


@pytest.mark.parametrize(
    ("method", "below", "body", "rule"),
    [
        ("GET", "", None, "index"),
        ("GET", "/1", None, "show"),
        ("POST", "", {"aggregate": {"name": "x"}}, "create"),
        ("PUT", "/1", {"aggregate": {"name": "x"}}, "update"),
        ("DELETE", "/1", None, "delete"),
        ("POST", "/1/action", {"add_host": {"host": "c1"}}, "add_host"),
        ("POST", "/1/action", {"remove_host": {"host": "c1"}}, "remove_host"),
        ("POST", "/1/action", {"set_metadata": {"metadata": {}}}, "set_metadata"),
    ],
)
async def test_only_administrators_have_to_do_with_them(
    api: ComputeApi, method: str, below: str, body: Any, rule: str
) -> None:
    await create(api)

    reply = await api.ask(method, f"/os-aggregates{below}", body, who="alice")

    said = f"Policy doesn't allow os_compute_api:os-aggregates:{rule} to be performed."
    assert (reply.status, reply.message) == (403, said)
