"""changePassword through the whole cloud: by the guest's agent, or refused with Nova's sentence."""

from pathlib import Path

from novaflow.states import Power, Vm
from tests.support.actions import act, guest_of, last_task, settled, task_states
from tests.support.cloud import cloud
from tests.support.gates import Gate

AGENT = {"hw_qemu_guest_agent": "yes"}


async def test_a_guest_with_an_agent_gets_the_password_and_nobody_else_sees_it(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        image = world.images.add("with-agent", bytes(4096), disk_format="raw", properties=AGENT)
        (server,) = await world.boot(image_id="with-agent", image=image)

        after = await act(world, server, "changePassword", password="hunter2-of-mine")

        assert (after.status, after.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == ["updating_password", None]
        assert guest_of(world, server).passwords_set_for == ("root",)
        assert not [span for span in world.spans.all if "hunter2" in f"{span.name} {span.attributes}"]


async def test_the_password_is_that_of_the_user_the_image_names(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        properties = AGENT | {"os_admin_user": "debian"}
        image = world.images.add("debian", bytes(4096), disk_format="raw", properties=properties)
        (server,) = await world.boot(image_id="debian", image=image)

        await act(world, server, "changePassword", password="x")

        assert guest_of(world, server).passwords_set_for == ("debian",)


async def test_a_guest_without_an_agent_refuses_and_its_server_stays_as_it_is(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        after = await act(world, server, "changePassword", password="x")

        assert (after.vm, after.power, after.fault) == (Vm.ACTIVE, Power.RUNNING, None)
        action, state, message = await last_task(world, server)
        assert (action, state) == ("changePassword", "error")
        assert message is not None
        assert message.startswith(f"Failed to set admin password on {server.id} because ")
        assert "agent" in message


async def test_a_guest_that_is_off_refuses(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        image = world.images.add("with-agent", bytes(4096), disk_format="raw", properties=AGENT)
        (server,) = await world.boot(image_id="with-agent", image=image)
        await world.processes["conductor"].stop()  # nobody hears of it
        world.drivers[server.host or ""].guest_dies(server.id)
        ordered = await act(world, server, "changePassword", password="x", settle=False)
        await world.processes["conductor"].start()
        await settled(world, ordered.id)

        task = next(task for task in await world.servers.actions(server.id) if task.action == "changePassword")
        why = f"instance {server.id} is not running"
        assert task.message == f"Failed to set admin password on {server.id} because {why}"


async def test_a_delete_takes_over_from_a_password_that_is_being_set(tmp_path: Path) -> None:
    gate = Gate("set_password")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "changePassword", settle=False)
        await gate.reached.wait()

        assert (await world.order(server, "delete")).vm is Vm.DELETED
