"""A compute service: its hosts, their consoles, and a conductor that comes late."""

import asyncio
from pathlib import Path

import pytest

from novaflow.config import Compute
from novaflow.messages import GET_CONSOLE_OUTPUT, ConsoleAsk
from services.host_names import host_names
from tests.support.cloud import cloud, settings, soon_down


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Compute(host="c"), ["c"]),
        (Compute(host="c", hosts=3), ["c-1", "c-2", "c-3"]),
    ],
)
def test_hosts_of_one_process_are_numbered(settings: Compute, names: list[str]) -> None:
    assert host_names(settings) == names


async def test_a_host_that_starts_before_any_conductor_registers_when_one_is_there(tmp_path: Path) -> None:
    async with cloud(tmp_path, services=[]) as world:
        starting = asyncio.create_task(world.processes["compute"].start())
        await asyncio.sleep(0.2)
        assert await world.all_hosts() == []

        await world.processes["conductor"].start()
        await starting

        assert [(host.name, host.is_up) for host in await world.all_hosts()] == [("c-1", True), ("c-2", True)]


async def test_a_host_that_says_nothing_any_more_counts_as_down(tmp_path: Path) -> None:
    async with cloud(tmp_path, settings(compute=soon_down())) as world:
        await world.processes["compute"].kill()

        async def are_down() -> bool:
            return not any(host.is_up for host in await world.all_hosts())

        await world.until(are_down)


async def test_the_console_of_a_server_is_read_from_its_end(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        assert server.host
        procedure = GET_CONSOLE_OUTPUT.at(server.host)

        whole = (await world.bus.call(procedure, ConsoleAsk(server_id=server.id))).output
        last = (await world.bus.call(procedure, ConsoleAsk(server_id=server.id, lines=1))).output
        none = (await world.bus.call(procedure, ConsoleAsk(server_id=server.id, lines=0))).output

        assert whole.splitlines()[0] == f"novaflow fake guest: instance-id {server.id}"
        assert (last, none) == ("novaflow fake guest: ready\n", "")


async def test_a_server_that_is_not_on_the_host_has_an_empty_console(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        ask = ConsoleAsk(server_id="99999999-9999-4999-8999-999999999999")

        assert (await world.bus.call(GET_CONSOLE_OUTPUT.at("c-1"), ask)).output == ""
