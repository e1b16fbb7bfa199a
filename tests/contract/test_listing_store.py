"""Lists of servers: filters, order and pages."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from novaflow.db.listing import SORT_KEYS, ServerQuery
from novaflow.errors import Invalid
from novaflow.models import Server
from novaflow.states import Event, Power, Task, Vm
from tests.support.cloud_records import ALICE, NETWORK, PLENTY, Records, draft, request, task_of


async def several(records: Records, count: int = 5, *, tick: bool = True) -> list[Server]:
    made = []
    for index in range(count):
        made.append(await records.made(name=f"web-{index}"))
        if tick:
            records.clock.advance(timedelta(seconds=1))
    return made


async def names(records: Records, **query: Any) -> list[str]:
    return [server.name for server in await records.servers.list(ServerQuery(**query))]


async def test_the_newest_come_first(records: Records) -> None:
    made = await several(records)

    assert await records.servers.list(ServerQuery(project_id="p1")) == made[::-1]
    assert await records.servers.list(ServerQuery(project_id="p2")) == []


@pytest.mark.parametrize("tick", [True, False], ids=["one by one", "all at once"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_pages_put_together_are_the_whole_list(records: Records, direction: str, tick: bool) -> None:
    await records.host()
    await several(records, 3, tick=tick)
    await records.active(name="up", has_config_drive=True, key_name="k")

    for key in sorted(SORT_KEYS):
        query = ServerQuery(sort_keys=(key,), sort_dirs=(direction,))
        whole = await records.servers.list(query)
        assert (len(whole), await paged(records, query)) == (4, whole), key


async def paged(records: Records, query: ServerQuery) -> list[Server]:
    """The whole list, two at a time."""
    pages: list[Server] = []
    while page := await records.servers.list(
        msgspec.structs.replace(query, limit=2, marker=pages[-1].id if pages else None)
    ):
        pages += page
    return pages


async def test_a_page_does_not_shift_when_servers_come_and_go(records: Records) -> None:
    made = await several(records)
    first = await records.servers.list(ServerQuery(limit=2))
    await records.made(name="new")
    await records.servers.delete_unplaced(request(2), made[2])

    assert await names(records, limit=2, marker=first[-1].id) == ["web-1", "web-0"]


async def test_several_sort_keys_each_with_a_direction(records: Records) -> None:
    for name, user in (("a", "x"), ("b", "y"), ("c", "x")):
        await records.made(context=msgspec.structs.replace(ALICE, user_id=user), name=name)

    found = await names(records, sort_keys=("user_id", "display_name"), sort_dirs=("asc", "desc"))

    assert found == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort_keys": ("password",)}, "sort_key"),
        ({"sort_dirs": ("up",)}, "sort_dir"),
        ({"marker": "no-such-server"}, "marker"),
        ({"name": "["}, "name"),
        ({"ip": "("}, "ip"),
        ({"name": "x" * 256}, "name"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(records: Records, query: dict[str, Any], field: str) -> None:
    await several(records, 1)

    with pytest.raises(Invalid, match=field):
        await records.servers.list(ServerQuery(**query))


async def test_a_marker_of_another_project_is_unknown(records: Records) -> None:
    (server,) = await several(records, 1)

    with pytest.raises(Invalid, match="marker"):
        await records.servers.list(ServerQuery(project_id="p2", marker=server.id))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("web-[01]", ["web-1", "web-0"]),
        ("^eb", []),
        ("EB", []),
        ("2$", ["web-2"]),
        (r"\d", ["web-2", "web-1", "web-0"]),
    ],
)
async def test_a_name_is_a_regular_expression(records: Records, pattern: str, found: list[str]) -> None:
    await several(records, 3)

    assert await names(records, name=pattern) == found


async def test_filters_select(records: Records) -> None:
    await records.host()
    up = await records.active(name="up", reservation_id="r-1", key_name="k", image_id="other", has_config_drive=True)
    await records.made(name="new")
    stopping = await records.servers.order(request(2), await records.active(name="off"), "stop", Event.STOP_ORDERED)
    await records.servers.advance(stopping.id, task_of(stopping), Event.STOPPED, host="c1", power=Power.SHUTDOWN)

    async def found(**query: Any) -> set[str]:
        return set(await names(records, **query))

    assert await found(statuses=("ACTIVE",)) == {"up"}
    assert await found(statuses=("SHUTOFF", "BUILD")) == {"off", "new"}
    assert await found(statuses=("NONSENSE",)) == set()
    assert await found(vm=Vm.BUILDING, task=Task.SCHEDULING) == {"new"}
    assert await found(task=Task.IDLE) == {"up", "off"}
    assert await found(power=Power.SHUTDOWN) == {"off"}
    assert await found(host="c1") == {"up", "off"}
    assert await found(reservation_id="r-1") == {"up"}
    assert await found(key_name="k", image_id="other", has_config_drive=True) == {"up"}
    assert await found(flavor_id="1") == {"up", "new", "off"}
    assert await found(flavor_id="2") == set()
    assert await found(ids=(up.id,)) == {"up"}
    assert await found(ids=()) == set()
    assert await found(user_id="bob") == set()


async def test_servers_are_found_by_address(records: Records) -> None:
    await records.host()
    server = await records.placed(name="a")
    await records.servers.start_build(server.id, task_of(server), "c1")
    (address,) = await records.servers.allocate_network(server.id, task_of(server), "c1", NETWORK)
    await records.made(name="b")

    assert await names(records, ip=f"^{address.ip}$".replace(".", r"\.")) == ["a"]
    assert await names(records, ip="^192") == []


async def test_servers_are_found_by_tags(records: Records) -> None:
    for name, tags in (("both", ("x", "y")), ("one", ("x",)), ("none", ()), ("quoted", ('a","x', 'b"x'))):
        await records.made(name=name, tags=tags)

    async def found(**query: Any) -> set[str]:
        return set(await names(records, **query))

    assert await found(tags=("x", "y")) == {"both"}
    assert await found(tags_any=("x", "y")) == {"both", "one"}
    assert await found(not_tags=("x", "y")) == {"one", "none", "quoted"}
    assert await found(not_tags_any=("x", "y")) == {"none", "quoted"}
    assert await found(tags=('a","x',)) == {"quoted"}


async def test_deleted_servers_show_when_asked_for(records: Records) -> None:
    first, second, _ = await several(records, 3)
    since = records.clock.now()
    await records.servers.delete_unplaced(request(2), first)
    records.clock.advance(timedelta(seconds=1))
    await records.servers.update(second.id, "p1", name="renamed")

    assert set(await names(records)) == {"renamed", "web-2"}
    assert await names(records, deleted=True) == ["web-0"]
    assert set(await names(records, changes_since=since)) == {"web-0", "renamed"}
    assert set(await names(records, changes_since=since, changes_before=since)) == {"web-0"}


async def test_servers_that_were_deleted_lately_are_found_by_when_they_were(records: Records) -> None:
    first, second, _ = await several(records, 3)
    await records.servers.delete_unplaced(request(2), first)
    records.clock.advance(timedelta(hours=1))
    since = records.clock.now()
    await records.servers.delete_unplaced(request(3), second)

    assert await names(records, project_id="p1", deleted_since=since) == ["web-1"]
    assert set(await names(records, deleted_since=since - timedelta(hours=2))) == {"web-0", "web-1"}
    assert await names(records, project_id="p2", deleted_since=since) == []
    assert await names(records, deleted_since=since + timedelta(seconds=1)) == []


async def test_names_are_of_the_same_servers_in_the_same_order(records: Records) -> None:
    await several(records, 3)
    query = ServerQuery(name="web-[12]", sort_keys=("display_name",), sort_dirs=("desc",), limit=2)

    found = await records.servers.names(query)

    assert [server.name for server in found] == ["web-2", "web-1"]
    assert [server.id for server in found] == [server.id for server in await records.servers.list(query)]
    with pytest.raises(Invalid):
        await records.servers.names(ServerQuery(marker="nobody"))


async def test_a_list_is_one_select_and_leaves_large_things_alone(records: Records) -> None:
    await records.servers.create(ALICE, [draft(user_data="A" * 65535)], PLENTY)

    (server,) = await records.servers.list(ServerQuery())

    assert "A" * 100 not in repr(server)
