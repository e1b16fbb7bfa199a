"""GET, PUT and DELETE of servers: how they are shown at each version, to whom, and how they go."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Api, Config
from novaflow.messages import TERMINATE_INSTANCE
from novaflow.models import Fault
from novaflow.states import Event
from services.api.openstack.frame import Links
from services.api.openstack.server_networking import Networking
from services.api.openstack.server_views import full
from tests.support.compute_api import PEOPLE, PROJECT
from tests.support.plain_server import plain_server
from tests.support.server_world import HOST, IMAGE, World, server_world

NOBODY = "33333333-3333-4333-8333-333333333333"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
PLAIN = {
    "id",
    "name",
    "status",
    "tenant_id",
    "user_id",
    "metadata",
    "hostId",
    "image",
    "flavor",
    "created",
    "updated",
    "addresses",
    "accessIPv4",
    "accessIPv6",
    "links",
    "OS-DCF:diskConfig",
    "progress",
    "OS-EXT-AZ:availability_zone",
    "config_drive",
    "key_name",
    "OS-SRV-USG:launched_at",
    "OS-SRV-USG:terminated_at",
    "security_groups",
    "OS-EXT-STS:task_state",
    "OS-EXT-STS:vm_state",
    "OS-EXT-STS:power_state",
    "os-extended-volumes:volumes_attached",
}
FOR_ADMINISTRATORS = {f"OS-EXT-SRV-ATTR:{name}" for name in ("host", "instance_name", "hypervisor_hostname")}
SINCE_2_3 = {
    f"OS-EXT-SRV-ATTR:{name}"
    for name in (
        "hostname",
        "kernel_id",
        "launch_index",
        "ramdisk_id",
        "reservation_id",
        "root_device_name",
        "user_data",
    )
}


async def test_user_data_is_shown_to_administrators_and_for_one_server_alone(world: World) -> None:
    server_id, without = await world.created(user_data="IyEvYmluL3No"), await world.created()
    user_data = "OS-EXT-SRV-ATTR:user_data"

    assert (await world.show(server_id, who="admin", version="2.3"))[user_data] == "IyEvYmluL3No"
    assert (await world.show(without, who="admin", version="2.3"))[user_data] is None
    assert user_data not in await world.show(server_id, who="admin", version="2.2")
    assert user_data not in await world.show(server_id, who="alice", version="2.3")
    listed = await world.api.get("/servers/detail?all_tenants=1", who="admin", version="2.3")
    assert [server[user_data] for server in listed["servers"]] == [None, None]


async def test_an_active_server_is_shown_as_nova_shows_it(world: World) -> None:
    server_id = await world.active(name="web", metadata={"a": "b"}, accessIPv4="192.0.2.7")

    shown = await world.show(server_id)

    assert shown.keys() == PLAIN
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", "active", None)
    assert (shown["OS-EXT-STS:power_state"], shown["progress"], shown["accessIPv4"]) == (1, 0, "192.0.2.7")
    assert (shown["tenant_id"], shown["user_id"], shown["metadata"]) == (PROJECT, "alice-id", {"a": "b"})
    assert shown["image"] == {
        "id": IMAGE,
        "links": [{"rel": "bookmark", "href": f"{world.api.root}/images/{IMAGE}"}],
    }
    assert shown["flavor"] == {
        "id": "1",
        "links": [{"rel": "bookmark", "href": f"{world.api.root}/flavors/1"}],
    }
    assert re.fullmatch(TIME, shown["created"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", shown["OS-SRV-USG:launched_at"])
    assert re.fullmatch(r"[0-9a-f]{56}", shown["hostId"])
    assert shown["OS-EXT-AZ:availability_zone"] == "nova"
    assert (shown["config_drive"], shown["key_name"], shown["security_groups"]) == ("", None, [{"name": "default"}])
    (address,) = shown["addresses"]["private"]
    assert address.keys() == {"version", "addr", "OS-EXT-IPS:type", "OS-EXT-IPS-MAC:mac_addr"}
    assert (address["version"], address["OS-EXT-IPS:type"]) == (4, "fixed")


@pytest.mark.parametrize(
    ("who", "version", "more"),
    [
        ("alice", "2.8", set()),
        ("alice", "2.9", {"locked"}),
        ("alice", "2.16", {"locked"}),
        ("alice", "2.19", {"locked", "description"}),
        ("alice", "2.37", {"locked", "description", "tags"}),
        ("admin", "2.1", FOR_ADMINISTRATORS),
        ("admin", "2.3", FOR_ADMINISTRATORS | SINCE_2_3),
        ("admin", "2.16", FOR_ADMINISTRATORS | SINCE_2_3 | {"locked", "host_status"}),
    ],
)
async def test_newer_versions_show_more(world: World, who: str, version: str, more: set[str]) -> None:
    server_id = await world.active()

    shown = await world.show(server_id, who=who, version=version)
    listed = (
        await world.api.get(
            "/servers/detail?all_tenants=1" if who == "admin" else "/servers/detail", who=who, version=version
        )
    )["servers"]

    assert shown.keys() == PLAIN | more
    assert listed == [shown]


async def test_administrators_see_where_a_server_runs(world: World) -> None:
    server_id = await world.active()

    shown = await world.show(server_id, who="admin", version="2.16")

    assert (shown["OS-EXT-SRV-ATTR:host"], shown["host_status"]) == (HOST, "UP")
    assert shown["OS-EXT-SRV-ATTR:instance_name"] == f"instance-{server_id[:8]}"


async def test_a_server_being_built_has_no_address_and_no_host_yet(world: World) -> None:
    shown = await world.show(await world.created())

    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("BUILD", "scheduling")
    assert (shown["addresses"], shown["hostId"], shown["OS-SRV-USG:launched_at"]) == ({}, "", None)


async def test_a_fault_is_told_its_details_to_administrators_only(world: World) -> None:
    server_id = await world.created()
    server = await world.servers.get(server_id)
    fault = Fault(code=500, message="No valid host was found.", details="c1: too small")
    await world.servers.advance(server_id, server.task_id or "", Event.BUILD_FAILED, fault=fault)

    mine, admins = await world.show(server_id), await world.show(server_id, who="admin")

    assert mine["status"] == "ERROR"
    assert "progress" not in mine
    assert mine["fault"].keys() == {"code", "created", "message"}
    assert (mine["fault"]["code"], mine["fault"]["message"]) == (500, "No valid host was found.")
    assert re.fullmatch(TIME, mine["fault"]["created"])
    assert admins["fault"]["details"] == "c1: too small"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_projects_servers_do_not_exist(world: World, method: str) -> None:
    server_id = await world.active()

    for key in (server_id, NOBODY, "x" * 300):
        body = {"server": {"name": "mine"}} if method == "PUT" else None
        reply = await world.api.ask(method, f"/servers/{key}", body, who="bob")
        assert (reply.status, list(reply.body)) == (HTTPStatus.NOT_FOUND, ["itemNotFound"])
        assert reply.message == f"Instance {key} could not be found."
    assert (await world.show(server_id))["status"] == "ACTIVE"


async def test_an_update_changes_what_it_names(world: World) -> None:
    server_id = await world.active(name="old")

    reply = await world.api.ask(
        "PUT", f"/servers/{server_id}", {"server": {"name": "new", "accessIPv6": "2001:db8::1"}}, who="alice"
    )

    assert reply.status == HTTPStatus.OK
    assert (reply.body["server"]["name"], reply.body["server"]["accessIPv6"]) == ("new", "2001:db8::1")
    assert reply.body["server"].keys() < PLAIN
    assert "OS-EXT-STS:vm_state" not in reply.body["server"]
    shown = await world.show(server_id)
    assert (shown["name"], shown["status"]) == ("new", "ACTIVE")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "'server' is a required property"),
        ({"server": {"name": ""}}, "Invalid input for field/attribute name. Value: . '' is too short"),
        (
            {"server": {"accessIPv4": "x"}},
            "Invalid input for field/attribute accessIPv4. Value: x. 'x' is not a 'ipv4'",
        ),
        ({"server": {"description": "x"}}, "Invalid input for field/attribute server. Value: {'description': 'x'}."),
        ({"server": {"status": "ACTIVE"}}, "Invalid input for field/attribute server. Value: {'status': 'ACTIVE'}."),
    ],
)
async def test_an_update_that_says_something_else_is_refused(world: World, body: object, said: str) -> None:
    reply = await world.api.ask("PUT", f"/servers/{await world.created()}", body, who="alice")

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert reply.message.startswith(said)


async def test_a_description_can_be_taken_away(world: World) -> None:
    server_id = await world.created(version="2.19", description="mine")

    reply = await world.api.ask(
        "PUT", f"/servers/{server_id}", {"server": {"description": None}}, who="alice", version="2.19"
    )

    assert reply.body["server"]["description"] is None


async def test_a_server_on_a_host_is_deleted_there(world: World) -> None:
    server_id = await world.active()

    reply = await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")
    again = await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")

    assert (reply.status, again.status) == (HTTPStatus.NO_CONTENT, HTTPStatus.NO_CONTENT)
    name, order = await world.order()
    server = await world.servers.get(server_id)
    assert (name, order.server_id, order.task_id) == (TERMINATE_INSTANCE.method, server_id, server.task_id)
    assert (await world.show(server_id))["OS-EXT-STS:task_state"] == "deleting"
    assert world.orders.empty()


async def test_a_server_on_no_host_is_gone_at_once(world: World) -> None:
    server_id = await world.created()

    reply = await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")

    assert reply.status == HTTPStatus.NO_CONTENT
    assert (await world.api.ask("GET", f"/servers/{server_id}", who="alice")).status == HTTPStatus.NOT_FOUND
    assert (await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")).status == HTTPStatus.NOT_FOUND
    absolute = (await world.api.get("/limits", who="alice"))["limits"]["absolute"]
    assert absolute["totalInstancesUsed"] == 0


async def test_a_server_on_a_host_that_is_down_is_gone_at_once(world: World) -> None:
    server_id = await world.active()
    (service,) = [found for found in await world.services.all(world.api.clock.now(), 60.0) if found.host == HOST]
    await world.services.set_forced_down(service.id, True)

    reply = await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")

    assert reply.status == HTTPStatus.NO_CONTENT
    assert (await world.api.ask("GET", f"/servers/{server_id}", who="alice")).status == HTTPStatus.NOT_FOUND


async def test_a_server_is_deleted_in_the_middle_of_its_build(world: World) -> None:
    server_id = await world.created()
    task_id = await world.place(server_id)

    await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")

    _, order = await world.order()
    assert order.task_id != task_id
    shown = await world.show(server_id)
    assert (shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]) == ("building", "deleting")


async def test_deleted_servers_are_for_administrators(world: World) -> None:
    server_id = await world.created()
    await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")

    mine = await world.api.ask("GET", "/servers?status=deleted", who="alice")
    admins = await world.api.get("/servers/detail?all_tenants=1&deleted=true")
    by_status = await world.api.get("/servers?all_tenants=1&status=DELETED")

    assert (mine.status, mine.message) == (HTTPStatus.FORBIDDEN, "Only administrators may list deleted instances")
    assert [(server["id"], server["status"]) for server in admins["servers"]] == [(server_id, "DELETED")]
    assert admins["servers"][0]["OS-SRV-USG:terminated_at"] is not None
    assert [server["id"] for server in by_status["servers"]] == [server_id]


async def test_what_changed_since_then_includes_what_is_gone(world: World) -> None:
    began = world.api.clock.now() - timedelta(seconds=5)
    server_id = await world.created()
    await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")

    since = await world.api.get(f"/servers?changes-since={began:%Y-%m-%dT%H:%M:%SZ}", who="alice")
    later = await world.api.get("/servers?changes-since=2999-01-01T00:00:00Z", who="alice")

    assert [server["id"] for server in since["servers"]] == [server_id]
    assert later["servers"] == []


async def test_a_list_shows_ones_own_and_administrators_all(world: World) -> None:
    mine, others = await world.created(), await world.created(who="bob")

    assert [server["id"] for server in (await world.api.get("/servers", who="alice"))["servers"]] == [mine]
    assert (await world.api.get("/servers"))["servers"] == []
    everyones = (await world.api.get("/servers?all_tenants"))["servers"]
    assert [server["id"] for server in everyones] == [others, mine]
    (brief, _) = everyones
    assert brief.keys() == {"id", "name", "links"}
    bobs = (await world.api.get(f"/servers?all_tenants=yes&project_id={PEOPLE['bob'].project_id}"))["servers"]
    assert [server["id"] for server in bobs] == [others]


@pytest.mark.parametrize(("path", "rule"), [("/servers", "index"), ("/servers/detail", "detail")])
async def test_all_tenants_is_for_administrators(world: World, path: str, rule: str) -> None:
    reply = await world.api.ask("GET", f"{path}?all_tenants=1", who="alice")

    assert (reply.status, list(reply.body)) == (HTTPStatus.FORBIDDEN, ["forbidden"])
    assert reply.message == f"Policy doesn't allow os_compute_api:servers:{rule}:get_all_tenants to be performed."


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=eb", ["web", "Web-2"]),
        ("name=^web$", ["web"]),
        ("status=ACTIVE", ["web"]),
        ("status=active&status=build", ["web", "Web-2", "db"]),
        ("status=nonsense", []),
        ("flavor=2", ["db"]),
        (f"image={IMAGE}", ["web", "Web-2", "db"]),
        (f"image={NOBODY}", []),
        ("ip=^10\\.", ["web"]),
        ("reservation_id=r-none", []),
        ("host=elsewhere", ["web", "Web-2", "db"]),
        ("user_id=nobody", ["web", "Web-2", "db"]),
        ("colour=red", ["web", "Web-2", "db"]),
        ("_internal=1", ["web", "Web-2", "db"]),
        ("limit=0", []),
    ],
)
async def test_a_list_is_filtered_by_what_users_may_ask(world: World, query: str, names: list[str]) -> None:
    await world.active(name="web")
    await world.created(name="Web-2")
    await world.created(name="db", flavorRef="2")

    found = (await world.api.get(f"/servers?sort_key=created_at&sort_dir=asc&{query}", who="alice"))["servers"]

    assert [server["name"] for server in found] == names


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (f"host={HOST}", 1),
        ("host=c9", 0),
        ("vm_state=active", 1),
        ("vm_state=nonsense", 0),
        ("task_state=scheduling", 1),
        ("power_state=1", 1),
        ("power_state=x", 0),
        ("user_id=alice-id", 2),
        ("uuid=" + NOBODY, 0),
        ("config_drive=true", 0),
        ("availability_zone=moon", 0),
        ("launch_index=0", 2),
    ],
)
async def test_administrators_filter_by_more(world: World, query: str, count: int) -> None:
    await world.active()
    await world.created()

    assert len((await world.api.get(f"/servers?all_tenants=1&{query}"))["servers"]) == count


async def test_tags_filter_since_2_26(world: World) -> None:
    blue, green = await world.active(name="blue"), await world.active(name="green")
    for server_id, tags in ((blue, ["a", "b"]), (green, ["b"])):
        reply = await world.api.ask("PUT", f"/servers/{server_id}/tags", {"tags": tags}, who="alice", version="2.26")
        assert reply.status == HTTPStatus.OK

    async def named(query: str, version: str = "2.26") -> set[str]:
        found = (await world.api.get(f"/servers?{query}", who="alice", version=version))["servers"]
        return {server["name"] for server in found}

    assert await named("tags=a,b") == {"blue"}
    assert await named("tags-any=a,b") == {"blue", "green"}
    assert await named("not-tags=a,b") == {"green"}
    assert await named("not-tags-any=a") == {"green"}
    assert await named("tags=a,b", version="2.25") == {"blue", "green"}


async def test_pages_follow_one_another(world: World) -> None:
    for number in range(5):
        await world.created(name=f"s{number}")

    seen: list[str] = []
    path = "/servers?limit=2&sort_key=display_name&sort_dir=asc"
    for _ in range(3):
        page = await world.api.get(path, who="alice")
        seen += [server["name"] for server in page["servers"]]
        links = page.get("servers_links", [])
        if links:
            assert links[0]["rel"] == "next"
            path = links[0]["href"].removeprefix(f"{world.api.root}/v2.1")

    assert seen == ["s0", "s1", "s2", "s3", "s4"]
    assert links == []


async def test_no_page_is_longer_than_the_configured_limit(tmp_path: Path) -> None:
    async with server_world(tmp_path, Config(api=Api(max_limit=2))) as world:
        for _ in range(3):
            await world.created()

        page = await world.api.get("/servers/detail?limit=1000", who="alice")

        assert len(page["servers"]) == 2
        assert page["servers_links"][0]["href"].startswith(f"{world.api.root}/v2.1/servers/detail?limit=1000&marker=")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=-1", "Invalid input for query parameters limit. Value: -1."),
        ("limit=two", "Invalid input for query parameters limit. Value: two."),
        (f"marker={NOBODY}", f"marker [{NOBODY}] not found"),
        ("name=[", "Invalid input for query parameters name. Value: [. '[' is not a 'regex'"),
        ("name=", "Invalid input for query parameters name. Value: . '' is not a 'regex'"),
        ("changes-since=yesterday", "Invalid input for query parameters changes-since. Value: yesterday."),
        ("sort_key=colour", "Invalid input for query parameters sort_key. Value: colour. 'colour' is not one of ["),
        ("sort_dir=up", "Unknown sort direction"),
    ],
)
async def test_a_query_that_cannot_be_is_a_400(world: World, query: str, said: str) -> None:
    reply = await world.api.ask("GET", f"/servers/detail?{query}", who="alice")

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert reply.message.startswith(said)


@pytest.mark.parametrize("query", ["metadata=a", "_secret=1", "all_tenants=maybe"])
async def test_some_filters_are_refused_to_administrators(world: World, query: str) -> None:
    reply = await world.api.ask("GET", f"/servers?{query}")

    assert reply.status == HTTPStatus.BAD_REQUEST


async def test_only_administrators_sort_by_host(world: World) -> None:
    assert (await world.api.ask("GET", "/servers?sort_key=host", who="alice")).status == HTTPStatus.FORBIDDEN
    assert (await world.api.ask("GET", "/servers?sort_key=host")).status == HTTPStatus.OK
    assert (await world.api.ask("GET", "/servers?sort_key=vcpus", who="alice")).status == HTTPStatus.OK


async def test_of_many_deletes_at_once_the_last_one_counts(world: World) -> None:
    server_id = await world.active()

    replies = await asyncio.gather(*(world.api.ask("DELETE", f"/servers/{server_id}", who="alice") for _ in range(4)))

    assert {reply.status for reply in replies} == {HTTPStatus.NO_CONTENT}
    server = await world.servers.get(server_id)
    ordered: list[str] = []
    while server.task_id not in ordered:
        name, order = await world.order()
        assert name == TERMINATE_INSTANCE.method
        ordered.append(order.task_id)
    assert len(set(ordered)) == len(ordered)


@pytest.mark.parametrize(("microsecond", "shown"), [(0, "000000"), (1, "000001"), (250_000, "250000")])
def test_times_are_written_as_nova_writes_them(microsecond: int, shown: str) -> None:
    moment = datetime(2026, 8, 1, 12, 0, 0, microsecond, tzinfo=UTC)
    server = plain_server(moment, image_id="")

    written = msgspec.json.decode(
        msgspec.json.encode(full(server, Links("", ""), (2, 1), Networking(), is_admin=False))
    )

    assert written["created"] == "2026-08-01T12:00:00Z"
    assert written["OS-SRV-USG:launched_at"] == f"2026-08-01T12:00:00.{shown}"
    assert written["image"] == ""
