"""A build that fails on one host and goes to another."""

from pathlib import Path

from novaflow.config import Compute, Scheduler
from novaflow.states import Vm
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken


async def test_a_build_that_a_host_fails_goes_to_another(tmp_path: Path) -> None:
    broken = Broken("spawn", ["c-1"])
    config = settings(compute=Compute(virt="fake", host="c", hosts=2, fake_ram_mb=64_000))
    async with cloud(tmp_path, config, before=broken) as world:
        servers = await world.boot(6)

        assert broken.failed
        assert {(server.vm, server.host) for server in servers} == {(Vm.ACTIVE, "c-2")}
        assert world.guests() == {server.id: ["c-2"] for server in servers}
        assert [(host.name, host.servers) for host in await world.all_hosts()] == [("c-1", 0), ("c-2", 6)]


async def test_a_build_that_every_host_fails_says_so_as_nova_does(tmp_path: Path) -> None:
    broken = Broken("spawn")
    config = settings(compute=Compute(virt="fake", host="c", hosts=4), scheduler=Scheduler(max_attempts=3))
    async with cloud(tmp_path, config, before=broken) as world:
        (server,) = await world.boot()

        assert len(broken.failed) == len(set(broken.failed)) == 3
        assert (server.vm, server.host, world.guests()) == (Vm.ERROR, None, {})
        assert server.fault is not None
        assert server.fault.code == 500
        assert server.fault.message == (
            "Exceeded maximum number of retries. Exceeded max scheduling attempts 3 for instance "
            f"{server.id}. Last exception: spawn failed for {server.id}: the hypervisor is broken"
        )


async def test_with_no_host_left_to_try_the_last_failure_and_every_host_say_why(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("spawn")) as world:
        (server,) = await world.boot()

        assert server.fault is not None
        assert server.fault.message.startswith(
            "No valid host was found. There are not enough hosts available. "
            f"The last attempt failed: spawn failed for {server.id}: the hypervisor is broken. c-1: retry: "
        )
        assert server.fault.details.endswith(
            "c-1: retry: the build failed on this host already; c-2: retry: the build failed on this host already"
        )
