"""The life of servers in the database: on SQLite and on MariaDB."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from novaflow.db.servers import Transition
from novaflow.errors import IllegalTransition, NotFound, QuotaExceeded, TaskSuperseded, WrongState
from novaflow.models import Address, Fault, ImageFacts, InjectedFile
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import ACTIVE, ERROR, GONE, SCHEDULING, SPAWNING, Event, Power, Vm
from tests.support.cloud_records import (
    ALICE,
    BUILDING,
    NETWORK,
    NOW,
    PLENTY,
    RATIOS,
    TINY,
    Records,
    draft,
    request,
    task_of,
)

FAULT = Fault(code=500, message="no space left", details="trace")


async def test_a_new_server_is_read_as_it_was_answered(records: Records) -> None:
    more = draft(
        "naïve-λ-😀",
        description="d",
        metadata={"k": "v\"'\\%"},
        tags=("a", "b"),
        key_name="key",
        kernel_id="kernel",
        ramdisk_id="ramdisk",
        availability_zone="nova",
        has_config_drive=True,
        reservation_id="r-1",
        access_ipv4="192.0.2.1",
        access_ipv6="2001:db8::1",
        disk_config="AUTO",
        user_data="IyEvYmluL3No",
    )

    (made,) = await records.servers.create(ALICE, [more], PLENTY)

    assert await records.servers.get(made.id) == made
    assert (made.state, made.power, made.created_at) == (SCHEDULING, Power.NOSTATE, NOW)
    assert (made.project_id, made.user_id, made.name, made.metadata) == ("p1", "alice", "naïve-λ-😀", {"k": "v\"'\\%"})


async def test_a_new_server_has_a_task_a_history_and_uses_quota(records: Records) -> None:
    server = await records.made()

    (task,) = await records.servers.actions(server.id)
    assert (task.id, task.action, task.state, task.request_id) == (server.task_id, "create", "running", "req-1")
    assert await records.history(server.id) == [(Event.CREATE_ORDERED, "building/scheduling")]
    assert await records.quotas.usage("p1", "alice") == Usage(instances=1, cores=1, ram=512)
    assert records.told == [
        Transition(
            server_id=server.id,
            task_id=task_of(server),
            event=Event.CREATE_ORDERED,
            before=None,
            after=SCHEDULING,
        )
    ]


async def test_several_servers_are_made_together_or_not_at_all(records: Records) -> None:
    drafts = [draft(f"web-{index}", launch_index=index) for index in range(3)]

    with pytest.raises(QuotaExceeded) as refused:
        await records.servers.create(ALICE, drafts, QuotaLimits(instances=2))

    assert refused.value.facts() == {"resource": "instances", "asked": 3, "used": 0, "limit": 2}
    assert records.told == []
    for new in drafts:
        with pytest.raises(NotFound):
            await records.servers.get(new.id)
    made = await records.servers.create(ALICE, drafts, QuotaLimits(instances=3))
    assert [server.name for server in made] == ["web-0", "web-1", "web-2"]


async def test_the_same_drafts_are_made_once(records: Records) -> None:
    drafts = [draft("web-0"), draft("web-1", launch_index=1)]
    first = await records.servers.create(ALICE, drafts, PLENTY)

    again = await records.servers.create(ALICE, drafts, PLENTY)

    assert again == first
    assert (await records.quotas.usage("p1", "alice")).instances == 2


async def test_a_boot_goes_by_the_table_and_is_told_step_by_step(records: Records) -> None:
    await records.host()

    server = await records.active()

    assert (server.state, server.power, server.host, server.task_id) == (ACTIVE, Power.RUNNING, "c1", None)
    assert server.launched_at == NOW
    assert await records.history(server.id) == [
        (Event.CREATE_ORDERED, "building/scheduling"),
        (Event.BUILD_STARTED, "building/none"),
        (Event.NETWORK_WANTED, "building/networking"),
        (Event.DEVICES_WANTED, "building/block_device_mapping"),
        (Event.SPAWN_STARTED, "building/spawning"),
        (Event.SPAWNED, "active/none"),
    ]
    assert [step.event for step in records.told] == [event for event, _ in await records.history(server.id)]
    assert (records.told[-1].before, records.told[-1].after, records.told[-1].host) == (SPAWNING, ACTIVE, "c1")
    (task,) = await records.servers.actions(server.id)
    assert (task.state, task.host, task.finished_at) == ("done", "c1", NOW)


async def test_steps_that_follow_at_once_are_recorded_together_each_once(records: Records) -> None:
    await records.host()
    server = await records.placed()
    task_id = task_of(server)
    await records.servers.start_build(server.id, task_id, "c1")
    advance, later = records.servers.advance, (Event.DEVICES_WANTED, Event.SPAWN_STARTED)

    with pytest.raises(IllegalTransition):
        await advance(server.id, task_id, Event.NETWORK_WANTED, host="c1", then=(Event.SPAWN_STARTED,))
    assert (await records.history(server.id))[-1] == (Event.BUILD_STARTED, "building/none")

    for _ in range(2):
        assert await advance(server.id, task_id, Event.NETWORK_WANTED, host="c1", then=later) == SPAWNING
    assert (await records.history(server.id))[-3:] == [
        (Event.NETWORK_WANTED, "building/networking"),
        (Event.DEVICES_WANTED, "building/block_device_mapping"),
        (Event.SPAWN_STARTED, "building/spawning"),
    ]
    assert [step.event for step in records.told] == [event for event, _ in await records.history(server.id)]


async def test_the_build_plan_has_all_that_the_host_needs(records: Records) -> None:
    await records.host()
    image = ImageFacts(id="img", name="tiny", disk_format="qcow2", size_bytes=7, properties={"os": "linux"})
    files = (InjectedFile(path="/etc/motd", contents="aGk="),)
    server = await records.placed(user_data="IyE=", files=files, public_key="ssh-rsa AAAA", image=image)
    records.clock.advance(timedelta(seconds=1))

    plan = await records.servers.start_build(server.id, task_of(server), "c1")

    assert (plan.image, plan.user_data, plan.files, plan.public_key) == (image, "IyE=", files, "ssh-rsa AAAA")
    assert plan.server == await records.servers.get(server.id)
    assert str(plan.server.state) == "building/none"


async def test_a_build_that_starts_twice_starts_over(records: Records) -> None:
    await records.host()
    server = await records.spawning()

    plan = await records.servers.start_build(server.id, task_of(server), "c1")

    assert str(plan.server.state) == "building/none"


async def test_what_the_scheduler_was_asked_can_be_read_again(records: Records) -> None:
    image = ImageFacts(id="img")
    server = await records.made(image=image, availability_zone="az1", force_host="c7", hints={"a": "b"})

    spec = await records.servers.spec(server.id)

    assert (spec.flavor, spec.image, spec.availability_zone) == (TINY, image, "az1")
    assert (spec.force_host, spec.hints, spec.project_id) == ("c7", {"a": "b"}, "p1")


async def test_a_server_keeps_its_address_until_it_is_deleted(records: Records) -> None:
    await records.host()
    server = await records.placed()
    task_id = task_of(server)
    await records.servers.start_build(server.id, task_id, "c1")

    first = await records.servers.allocate_network(server.id, task_id, "c1", NETWORK)
    repeated = await records.servers.allocate_network(server.id, task_id, "c1", NETWORK)
    await records.servers.advance(server.id, task_id, Event.RESCHEDULED, host="c1")
    await records.host("c2")
    moved = await records.servers.get(server.id)
    assert await records.servers.claim(server.id, task_id, "c2", await records.servers.spec(server.id), RATIOS)
    await records.servers.start_build(server.id, task_id, "c2")
    elsewhere = await records.servers.allocate_network(server.id, task_id, "c2", NETWORK)

    assert first == repeated == elsewhere == moved.addresses
    assert (await records.servers.get(server.id)).addresses == first


async def test_no_two_servers_have_one_address(records: Records) -> None:
    await records.host()
    network = msgspec.structs.replace(NETWORK, cidr="10.9.0.0/29")  # room for five
    given: list[Address] = []
    for index in range(5):
        server = await records.placed(name=f"web-{index}")
        await records.servers.start_build(server.id, task_of(server), "c1")
        given += await records.servers.allocate_network(server.id, task_of(server), "c1", network)

    assert {address.ip for address in given} == {f"10.9.0.{last}" for last in range(2, 7)}
    assert len({address.mac for address in given}) == 5


async def test_of_a_task_only_the_owner_moves_the_server(records: Records) -> None:
    await records.host()
    server = await records.placed()
    task_id = task_of(server)

    for host, task in (("c2", task_id), ("c1", "0" * 36)):
        with pytest.raises(TaskSuperseded):
            await records.servers.advance(server.id, task, Event.BUILD_STARTED, host=host)
        with pytest.raises(TaskSuperseded):
            await records.servers.start_build(server.id, task, host)
        with pytest.raises(TaskSuperseded):
            await records.servers.allocate_network(server.id, task, host, NETWORK)
        with pytest.raises(TaskSuperseded):
            await records.servers.owned(server.id, task, host)

    assert await records.servers.owned(server.id, task_id, "c1") == server
    assert len(await records.history(server.id)) == 1


async def test_what_the_table_does_not_know_does_not_happen(records: Records) -> None:
    await records.host()
    server = await records.placed()

    with pytest.raises(IllegalTransition):
        await records.servers.advance(server.id, task_of(server), Event.SPAWNED, host="c1")
    with pytest.raises(IllegalTransition):
        await records.servers.advance(server.id, task_of(server), Event.REBOOTED, host="c1")

    assert await records.servers.get(server.id) == server


@pytest.mark.parametrize("steps", [BUILDING[: count + 1] for count in range(4)], ids=lambda steps: steps[-1])
async def test_a_repeated_report_answers_the_state_again(records: Records, steps: Sequence[Event]) -> None:
    await records.host()
    server = await records.placed()
    answers = [await records.servers.advance(server.id, task_of(server), event, host="c1") for event in steps]

    repeated = await records.servers.advance(server.id, task_of(server), steps[-1], host="c1")

    assert repeated == answers[-1]
    assert (await records.servers.get(server.id)).state == repeated


async def test_the_report_that_ended_a_task_may_come_again(records: Records) -> None:
    await records.host()
    server = await records.spawning()
    task_id = task_of(server)
    for _ in range(2):
        assert await records.servers.advance(server.id, task_id, Event.SPAWNED, host="c1") == ACTIVE
    active = await records.servers.get(server.id)

    await records.servers.order(ALICE, active, "stop", Event.STOP_ORDERED)

    assert await records.servers.advance(server.id, task_id, Event.SPAWNED, host="c1") == ACTIVE
    with pytest.raises(TaskSuperseded):
        await records.servers.advance(server.id, task_id, Event.SPAWN_STARTED, host="c1")
    assert [event for event, _ in await records.history(server.id)].count(Event.SPAWNED) == 1


async def test_a_failed_build_leaves_its_host_and_says_why(records: Records) -> None:
    await records.host()
    server = await records.spawning()

    state = await records.servers.advance(server.id, task_of(server), Event.BUILD_FAILED, host="c1", fault=FAULT)

    failed = await records.servers.get(server.id)
    assert (state, failed.state, failed.host, failed.task_id) == (ERROR, ERROR, None, None)
    assert failed.fault == msgspec.structs.replace(FAULT, created_at=NOW)
    assert await records.used() == (0, 0, 0, 0)
    assert (await records.quotas.usage("p1", "alice")).instances == 1
    (task,) = await records.servers.actions(server.id)
    assert (task.state, task.message) == ("error", "no space left")


async def test_a_failed_action_leaves_the_server_as_it_was_without_a_fault_to_show(records: Records) -> None:
    await records.host()
    server = await records.active()
    records.clock.advance(timedelta(seconds=1))
    ordered = await records.servers.order(request(2), server, "stop", Event.STOP_ORDERED)

    state = await records.servers.advance(server.id, task_of(ordered), Event.FAILED, host="c1", fault=FAULT)

    assert state == ACTIVE
    assert (await records.servers.get(server.id)).fault is None
    assert (await records.servers.actions(server.id))[0].message == "no space left"


async def test_an_order_gives_the_server_a_task(records: Records) -> None:
    await records.host()
    server = await records.active()
    records.clock.advance(timedelta(seconds=5))

    ordered = await records.servers.order(request(2), server, "stop", Event.STOP_ORDERED)

    assert ordered == await records.servers.get(server.id)
    assert str(ordered.state) == "active/powering-off"
    task, events = await records.servers.action(server.id, "req-2")
    assert (task.id, task.action, task.state, task.host) == (ordered.task_id, "stop", "running", "c1")
    assert [(event.name, event.host, event.result) for event in events] == [("compute_stop_instance", "c1", None)]


async def test_a_server_does_one_thing_at_a_time(records: Records) -> None:
    await records.host()
    server = await records.active()
    await records.servers.order(request(2), server, "stop", Event.STOP_ORDERED)

    with pytest.raises(WrongState) as stopped:
        await records.servers.order(request(3), server, "stop", Event.STOP_ORDERED)
    with pytest.raises(WrongState) as started:
        await records.servers.order(request(4), server, "start", Event.START_ORDERED)

    assert str(stopped.value) == f"Cannot 'stop' instance {server.id} while it is in task_state powering-off"
    assert str(started.value) == f"Cannot 'start' instance {server.id} while it is in vm_state active"
    assert len(await records.servers.actions(server.id)) == 2


async def test_an_order_with_a_stale_view_of_the_server_is_decided_by_the_row(records: Records) -> None:
    server = await records.made()
    await records.host()
    assert await records.servers.claim(server.id, task_of(server), "c1", await records.servers.spec(server.id), RATIOS)

    ordered = await records.servers.order(request(2), server, "delete", Event.DELETE_ORDERED)

    assert ordered == await records.servers.get(server.id)
    assert (ordered.host, str(ordered.state)) == ("c1", "building/deleting")


async def test_a_delete_takes_over_and_the_old_worker_hears_it(records: Records) -> None:
    await records.host()
    server = await records.spawning()

    ordered = await records.servers.order(request(2), server, "delete", Event.DELETE_ORDERED)

    with pytest.raises(TaskSuperseded):
        await records.servers.advance(server.id, task_of(server), Event.SPAWNED, host="c1")
    assert ordered.task_id != server.task_id
    states = {task.action: task.state for task in await records.servers.actions(server.id)}
    assert states == {"create": "superseded", "delete": "running"}


async def test_a_hard_reboot_takes_over_a_soft_one(records: Records) -> None:
    await records.host()
    soft = await records.servers.order(request(2), await records.active(), "reboot", Event.REBOOT_ORDERED)

    hard = await records.servers.order(request(3), soft, "reboot", Event.HARD_REBOOT_ORDERED)

    with pytest.raises(TaskSuperseded):
        await records.servers.advance(soft.id, task_of(soft), Event.REBOOT_PENDING, host="c1")
    for event in (Event.REBOOT_PENDING, Event.REBOOT_STARTED, Event.REBOOTED):
        state = await records.servers.advance(soft.id, task_of(hard), event, host="c1", power=Power.RUNNING)
    assert state == ACTIVE


async def test_a_deleted_server_gives_back_all_it_had_once(records: Records) -> None:
    await records.host()
    server = await records.active()
    ordered = await records.servers.order(request(2), server, "delete", Event.DELETE_ORDERED)
    records.clock.advance(timedelta(seconds=1))

    for _ in range(2):
        assert await records.servers.advance(server.id, task_of(ordered), Event.DELETED, host="c1") == GONE

    assert await records.used() == (0, 0, 0, 0)
    assert await records.quotas.usage("p1", "alice") == Usage()
    with pytest.raises(NotFound) as gone:
        await records.servers.get(server.id)
    assert str(gone.value) == f"Instance {server.id} could not be found."
    row = await records.servers.get(server.id, deleted=True)
    assert (row.vm, row.power, row.addresses, row.host) == (Vm.DELETED, Power.NOSTATE, (), "c1")
    assert row.deleted_at == NOW + timedelta(seconds=1)


async def test_a_server_without_a_host_is_deleted_at_once(records: Records) -> None:
    server = await records.made()

    assert await records.servers.delete_unplaced(request(2), server) is True

    assert (await records.servers.get(server.id, deleted=True)).state == GONE
    assert await records.quotas.usage("p1", "alice") == Usage()
    assert [event for event, _ in await records.history(server.id)][1:] == [Event.DELETE_ORDERED, Event.DELETED]
    states = {task.action: task.state for task in await records.servers.actions(server.id)}
    assert states == {"create": "superseded", "delete": "done"}
    with pytest.raises(NotFound):
        await records.servers.delete_unplaced(request(3), server)
    with pytest.raises(NotFound):
        await records.servers.order(request(4), server, "delete", Event.DELETE_ORDERED)


async def test_a_server_with_a_host_is_not_deleted_behind_its_back(records: Records) -> None:
    await records.host()
    server = await records.made()
    assert await records.servers.claim(server.id, task_of(server), "c1", await records.servers.spec(server.id), RATIOS)

    assert await records.servers.delete_unplaced(request(2), server) is False

    assert (await records.servers.get(server.id)).state == SCHEDULING


async def test_a_server_whose_host_is_down_can_be_deleted_without_it(records: Records) -> None:
    await records.host()
    server = await records.active()

    await records.servers.delete_locally(request(2), server)

    assert (await records.servers.get(server.id, deleted=True)).state == GONE
    assert await records.used() == (0, 0, 0, 0)
    assert await records.quotas.usage("p1", "alice") == Usage()


async def test_another_projects_server_is_not_found(records: Records) -> None:
    server = await records.made()

    assert await records.servers.get(server.id, project_id="p1") == server
    with pytest.raises(NotFound):
        await records.servers.get(server.id, project_id="p2")
    with pytest.raises(NotFound):
        await records.servers.update(server.id, "p2", name="mine")
    with pytest.raises(NotFound):
        await records.servers.get("no-such-server")


async def test_an_update_changes_what_it_names(records: Records) -> None:
    server = await records.made(metadata={"a": "1"}, description="old")
    records.clock.advance(timedelta(seconds=1))

    updated = await records.servers.update(server.id, "p1", name="new", description=None, metadata={}, tags=("t",))

    assert updated == await records.servers.get(server.id)
    assert (updated.name, updated.description, updated.metadata, updated.tags) == ("new", None, {}, ("t",))
    assert (updated.hostname, updated.updated_at) == ("web", NOW + timedelta(seconds=1))


async def test_power_is_recorded_when_it_is_news_and_nobody_works_on_the_server(records: Records) -> None:
    await records.host()
    server = await records.active()

    assert await records.servers.record_power("c1", server.id, Power.RUNNING) is None
    assert await records.servers.record_power("c2", server.id, Power.SHUTDOWN) is None
    changed = await records.servers.record_power("c1", server.id, Power.SHUTDOWN)
    assert changed is not None
    assert changed.power is Power.SHUTDOWN
    await records.servers.order(request(2), changed, "stop", Event.STOP_ORDERED)
    assert await records.servers.record_power("c1", server.id, Power.RUNNING) is None


async def test_a_host_knows_its_servers(records: Records) -> None:
    await records.host()
    server = await records.active()
    gone = await records.active(name="gone")
    await records.servers.delete_locally(request(2), gone)
    await records.made(name="elsewhere")

    (hosted,) = await records.servers.on_host("c1")

    assert (hosted.id, hosted.vm, hosted.power, hosted.task_id) == (server.id, Vm.ACTIVE, Power.RUNNING, None)
