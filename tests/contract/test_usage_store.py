"""What is counted of projects and users is what they have, whatever happens to their servers and whoever does it at the same time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from novaflow.config import Scheduler
from novaflow.db.accompaniments import of_move, of_restore
from novaflow.db.moving import RESIZE
from novaflow.db.quotas import Correction
from novaflow.db.schema.compute import usages
from novaflow.errors import Invalid, QuotaExceeded
from novaflow.models import Context, Flavor, KeyPair, Server
from novaflow.operations.quotas import refuse_unsettable
from novaflow.quotas import QuotaLimits, Usage, plus
from novaflow.states import Event
from tests.support.cloud_records import ALICE, NOW, PLENTY, RESOURCES, TINY, Records, draft, request, task_of

FLAVORS = (
    TINY,
    Flavor(id="2", name="wide", vcpus=4, ram_mb=256, disk_gb=1),
    Flavor(id="3", name="tall", vcpus=1, ram_mb=4096, disk_gb=1),
)
ROOMY = Scheduler(cpu_allocation_ratio=1000, ram_allocation_ratio=1000, disk_allocation_ratio=1000)
RESIZING = (
    Event.RESIZE_MIGRATING,
    Event.RESIZE_MIGRATED,
    Event.RESIZE_FINISHING,
    Event.RESIZED,
)
# One server that is soft-deleted, one whose resize waits for its confirmation and one that runs; then anything.
FIRST = [("run", 0), ("soft-delete", 0), ("run", 1), ("resize", 3), ("run", 2)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "run", "delete", "soft-delete", "restore", "resize", "fail", "confirm", "reconcile"]),
        st.integers(0, 3),
    ),
    max_size=8,
)


def of(flavor: Flavor) -> Usage:
    return Usage(instances=1, cores=flavor.vcpus, ram=flavor.ram_mb)


def larger(one: Flavor, other: Flavor) -> Usage:
    return Usage(instances=1, cores=max(one.vcpus, other.vcpus), ram=max(one.ram_mb, other.ram_mb))


def total(each: Sequence[Usage]) -> Usage:
    found = Usage()
    for usage in each:
        found = plus(found, usage)
    return found


@dataclass
class Writer:
    """Somebody who does things to his servers, and knows what they take."""

    records: Records
    context: Context
    running: list[str] = field(default_factory=list)
    soft_deleted: list[str] = field(default_factory=list)
    resizing: dict[str, str] = field(default_factory=dict)  # task by server
    takes: dict[str, Usage] = field(default_factory=dict)
    corrections: list[Correction] = field(default_factory=list)

    async def do(self, steps: Sequence[tuple[str, int]]) -> None:
        for step, choice in steps:
            await getattr(self, step.replace("-", "_"))(choice)

    async def make(self, choice: int) -> None:
        flavor = FLAVORS[choice % 3]
        made = await self.records.servers.create(self.context, [draft(flavor=flavor), draft(flavor=flavor)], PLENTY)
        self.takes |= {server.id: of(flavor) for server in made}

    async def run(self, choice: int) -> None:
        server = await self.records.active(context=self.context, flavor=FLAVORS[choice % 3])
        self.running.append(server.id)
        self.takes[server.id] = of(server.flavor)

    async def delete(self, choice: int) -> None:
        if not self.takes:
            return
        server_id = sorted(self.takes)[choice % len(self.takes)]
        await self.records.servers.delete_locally(self.context, await self.get(server_id))
        del self.takes[server_id]
        self.resizing.pop(server_id, None)
        for mine in (self.running, self.soft_deleted):
            if server_id in mine:
                mine.remove(server_id)

    async def soft_delete(self, _choice: int) -> None:
        if self.running:
            server = await self.get(self.running.pop())
            await self.through(server, "delete", Event.SOFT_DELETE_ORDERED, Event.SOFT_DELETED)
            self.soft_deleted.append(server.id)
            self.takes[server.id] = Usage()

    async def restore(self, choice: int) -> None:
        if not self.soft_deleted:
            return
        server = await self.get(self.soft_deleted.pop())
        end = Event.FAILED if choice == 0 else Event.RESTORED
        await self.through(server, "restore", Event.RESTORE_ORDERED, end, accompany=of_restore(PLENTY))
        if end is Event.FAILED:
            self.soft_deleted.append(server.id)
        else:
            self.running.append(server.id)
            self.takes[server.id] = of(server.flavor)

    async def resize(self, choice: int) -> None:
        """It gets as far as `choice` says."""
        if not self.running:
            return
        server = await self.get(self.running.pop())
        new = FLAVORS[(FLAVORS.index(server.flavor) + 1) % 3]
        accompany = of_move(RESIZE, PLENTY, new=new)
        ordered = await self.records.servers.order(
            self.context, server, "resize", Event.RESIZE_ORDERED, accompany=accompany
        )
        self.takes[server.id] = larger(server.flavor, new)
        self.resizing[server.id] = task_of(ordered)
        assert await self.records.servers.claim_move(server.id, task_of(ordered), "c2", ROOMY)
        for event in RESIZING[: choice + 1]:
            await self.records.servers.advance(server.id, task_of(ordered), event)

    async def fail(self, _choice: int) -> None:
        """A resize that is not through ends."""
        for server_id, task_id in self.resizing.items():
            server = await self.get(server_id)
            if server.task_id == task_id:
                await self.records.servers.advance(server_id, task_id, Event.FAILED)
                await self.ended(server_id)
                return

    async def confirm(self, choice: int) -> None:
        """A resize that is through ends, the one way or the other."""
        for server_id in self.resizing:
            server = await self.get(server_id)
            if server.task_id is None:
                is_kept = choice % 2 == 0
                ordered = Event.CONFIRM_ORDERED if is_kept else Event.REVERT_ORDERED
                steps = (Event.CONFIRMED,) if is_kept else (Event.REVERT_CLEARED, Event.REVERTED)
                await self.through(server, "settle", ordered, *steps)
                await self.ended(server_id)
                return

    async def ended(self, server_id: str) -> None:
        del self.resizing[server_id]
        self.running.append(server_id)
        self.takes[server_id] = of((await self.get(server_id)).flavor)

    async def reconcile(self, _choice: int) -> None:
        self.corrections += await self.records.quotas.reconcile()

    async def through(self, server: Server, action: str, ordered: Event, *steps: Event, **more: object) -> None:
        task = task_of(await self.records.servers.order(self.context, server, action, ordered, **more))  # type: ignore[arg-type]
        for event in steps:
            await self.records.servers.advance(server.id, task, event)

    async def get(self, server_id: str) -> Server:
        return await self.records.servers.get(server_id)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(plans=st.lists(STEPS, min_size=3, max_size=3))
async def test_counters_are_what_the_servers_take_however_many_write(
    records: Records, plans: list[list[tuple[str, int]]]
) -> None:
    for host in ("c1", "c2"):
        roomy = msgspec.structs.replace(RESOURCES, vcpus=10**6, ram_mb=10**9, disk_gb=10**6)
        await records.hosts.started(host, roomy, "nova")
    project = uuid4().hex
    people = ("alice", "alice", "bob")
    writers = [
        Writer(records, msgspec.structs.replace(ALICE, project_id=project, user_id=user, roles=("admin",)))
        for user in people
    ]

    await asyncio.gather(*(writer.do(FIRST + plan) for writer, plan in zip(writers, plans, strict=True)))

    expected = {user: [] for user in people}  # type: dict[str, list[Usage]]
    for user, writer in zip(people, writers, strict=True):
        expected[user] += writer.takes.values()
    for user, each in expected.items():
        assert (await records.quotas.standing(project, user, PLENTY)).of_user == total(each)
    both = [usage for each in expected.values() for usage in each]
    assert await records.quotas.usage(project, "nobody") == total(both)
    assert [one for writer in writers for one in writer.corrections] == []
    assert await records.quotas.reconcile() == []


async def test_what_is_wrong_is_corrected_and_reported(records: Records) -> None:
    await records.made()
    await records.made(context=msgspec.structs.replace(ALICE, project_id="p2"))
    wrong = update(usages).where(usages.c.project_id == "p1", usages.c.user_id == "").values(cores=7, instances=-1)
    await records.database.write(lambda connection: connection.execute(wrong))
    gone = usages.delete().where(usages.c.project_id == "p2")
    await records.database.write(lambda connection: connection.execute(gone))
    pair = KeyPair(name="k", user_id="alice", public_key="ssh-rsa k", fingerprint="aa", created_at=NOW)
    await records.keypairs.create(pair, -1)
    lost = update(usages).where(usages.c.project_id == "", usages.c.user_id == "alice").values(key_pairs=0)
    await records.database.write(lambda connection: connection.execute(lost))

    corrections = await records.quotas.reconcile()

    one = of(TINY)
    assert corrections == [
        Correction(project_id="", user_id="alice", counted=Usage(), actual=Usage(key_pairs=1)),
        Correction(project_id="p1", user_id="", counted=Usage(instances=-1, cores=7, ram=512), actual=one),
        Correction(project_id="p2", user_id="", counted=Usage(), actual=one),
        Correction(project_id="p2", user_id="alice", counted=Usage(), actual=one),
    ]
    assert await records.quotas.usage("p1", "alice") == plus(one, Usage(key_pairs=1))
    assert await records.quotas.reconcile() == []


async def test_one_user_stops_at_his_own_limit_and_others_go_on(records: Records) -> None:
    await records.quotas.set("p1", {"cores": 2}, user_id="alice")
    bob = msgspec.structs.replace(ALICE, user_id="bob")

    results = await asyncio.gather(
        *(records.servers.create(context, [draft()], PLENTY) for context in (ALICE, bob) for _ in range(5)),
        return_exceptions=True,
    )

    refused = [result for result in results if isinstance(result, QuotaExceeded)]
    assert [error.facts() for error in refused] == [{"resource": "cores", "asked": 1, "used": 2, "limit": 2}] * 3
    assert (await records.quotas.standing("p1", "bob", PLENTY)).of_user.instances == 5
    assert await records.quotas.reconcile() == []


@pytest.mark.parametrize("is_of_user", [False, True], ids=["of the project", "of the user"])
async def test_a_limit_that_was_lowered_is_not_passed_by_whoever_asked_before(
    records: Records, *, is_of_user: bool
) -> None:
    """Lowering a limit to what is in use races with creations: what was accepted beside it is within it."""
    user_id = "alice" if is_of_user else ""
    high = QuotaLimits(instances=100, cores=-1, ram=-1)

    async def lower(limit: int) -> bool:
        changes = {"instances": limit}
        try:
            await records.quotas.set(
                "p1",
                changes,
                user_id=user_id,
                defaults=high,
                check=lambda standing: refuse_unsettable(changes, standing, user_id=user_id),
            )
        except Invalid:
            return False
        return True

    async def create(number: int) -> bool:
        try:
            await records.servers.create(request(number), [draft()], high)
        except QuotaExceeded:
            return False
        return True

    asked = [task for number in range(8) for task in (create(number), lower(4))]
    outcomes = await asyncio.gather(*asked)

    in_use = (await records.quotas.usage("p1", "alice")).instances
    assert in_use == sum(outcomes[::2])
    assert in_use <= 4 or not any(outcomes[1::2])
