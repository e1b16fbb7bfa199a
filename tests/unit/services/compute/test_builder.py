"""A build on one host when things go wrong around it."""

import asyncio
from pathlib import Path

import pytest

from novaflow.config import Bus, Compute, Scheduler
from novaflow.states import Vm
from tests.support.cloud import Cloud, cloud, settings
from tests.support.gates import Gate


class Bug(Exception):
    """Something nobody expected."""


async def buggy(host: str, operation: str, server_id: str) -> None:
    if operation == "spawn":
        raise Bug("with a secret in it")


async def test_an_unexpected_error_is_retried_elsewhere_and_told_without_its_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cloud(tmp_path, settings(scheduler=Scheduler(max_attempts=2)), before=buggy) as world:
        (server,) = await world.boot()

        assert server.fault is not None
        assert server.fault.message.endswith("Last exception: Bug")
        assert "secret" not in server.fault.details
        assert [record.message for record in caplog.records if "unexpectedly" in record.message] == [
            f"server {server.id}: the build failed unexpectedly"
        ] * 2
        assert world.guests() == {}


async def test_when_the_conductor_goes_away_for_good_the_guest_stays_and_the_order_comes_again(tmp_path: Path) -> None:
    gate = Gate("spawn")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot(settle=False)
        await gate.reached.wait()
        await world.processes["conductor"].kill()
        gate.open()
        await world.until(lambda: has_guest(world, server.id))
        await world.processes["compute"].kill()
        assert world.guests().keys() == {server.id}

        await world.processes["conductor"].start()
        await world.processes["compute"].start()

        assert (await world.settled(server.id)).vm is Vm.ACTIVE
        assert len(world.guests()[server.id]) == 1


async def test_a_host_that_is_told_to_stop_finishes_what_it_is_at(tmp_path: Path) -> None:
    gate = Gate("spawn")
    async with cloud(tmp_path, settings(bus=Bus(drain_timeout=10.0)), before=gate) as world:
        (server,) = await world.boot(settle=False)
        await gate.reached.wait()
        stopping = asyncio.create_task(world.processes["compute"].stop())
        await asyncio.sleep(0.1)
        assert not stopping.done()
        gate.open()
        await stopping

        assert (await world.server(server.id)).vm is Vm.ACTIVE
        assert world.guests().keys() == {server.id}


async def test_at_most_so_many_guests_are_started_at_once(tmp_path: Path) -> None:
    most = Most("spawn")
    config = settings(compute=Compute(virt="fake", host="c", spawns_at_once=2))
    async with cloud(tmp_path, config, before=most) as world:
        await world.boot(8)

        assert most.seen == 2


async def has_guest(world: Cloud, server_id: str) -> bool:
    return server_id in world.guests()


class Most:
    """How many calls of an operation ran at the same time, at most."""

    def __init__(self, operation: str) -> None:
        self.seen = 0
        self._now = 0
        self._operation = operation

    async def __call__(self, host: str, operation: str, server_id: str) -> None:
        if operation == self._operation:
            self._now += 1
            self.seen = max(self.seen, self._now)
            await asyncio.sleep(0.05)
            self._now -= 1
