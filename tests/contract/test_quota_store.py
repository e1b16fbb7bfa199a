"""Quotas at the limit, with everybody asking at once."""

import asyncio

import pytest

from novaflow.errors import Conflict, Invalid, NotFound, QuotaExceeded
from novaflow.models import KeyPair
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import Event
from tests.support.cloud_records import NOW, Records, draft, request, task_of


def keypair(name: str = "k", user: str = "alice") -> KeyPair:
    return KeyPair(name=name, user_id=user, public_key=f"ssh-rsa {name}", fingerprint="aa:bb", created_at=NOW)


@pytest.mark.parametrize("already", [0, 3], ids=["a new project", "a known project"])
async def test_of_many_creates_at_the_limit_exactly_those_that_fit_succeed(records: Records, already: int) -> None:
    limits = QuotaLimits(instances=7, cores=-1, ram=-1)
    for _ in range(already):
        await records.made(limits)

    results = await asyncio.gather(
        *(records.servers.create(request(number), [draft()], limits) for number in range(20)), return_exceptions=True
    )

    refused = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, QuotaExceeded) and error.resource == "instances" for error in refused)
    assert len(results) - len(refused) == 7 - already
    assert await records.quotas.usage("p1", "alice") == Usage(instances=7, cores=7, ram=7 * 512)


@pytest.mark.parametrize(
    ("limits", "resource"),
    [
        (QuotaLimits(instances=1, cores=1, ram=1), "instances"),
        (QuotaLimits(instances=-1, cores=1, ram=1), "cores"),
        (QuotaLimits(instances=-1, cores=-1, ram=1023), "ram"),
    ],
)
async def test_a_refusal_names_the_first_resource(records: Records, limits: QuotaLimits, resource: str) -> None:
    with pytest.raises(QuotaExceeded) as refused:
        await records.servers.create(request(1), [draft("a"), draft("b")], limits)

    assert refused.value.resource == resource
    assert await records.quotas.usage("p1", "alice") == Usage()


async def test_deletes_that_come_at_once_and_again_release_once(records: Records) -> None:
    await records.host()
    servers = [await records.active(name=f"web-{index}") for index in range(4)]
    ordered = [await records.servers.order(request(2), one, "delete", Event.DELETE_ORDERED) for one in servers]

    await asyncio.gather(
        *(
            records.servers.advance(server.id, task_of(server), Event.DELETED, host="c1")
            for server in ordered
            for _ in range(3)
        )
    )

    assert await records.quotas.usage("p1", "alice") == Usage()
    assert await records.used() == (0, 0, 0, 0)


async def test_a_project_may_have_limits_of_its_own(records: Records) -> None:
    await records.quotas.set("p1", {"instances": 3, "cores": -1})
    await records.quotas.set("p1", {"instances": 4})

    assert await records.quotas.limits("p1", QuotaLimits()) == QuotaLimits(instances=4, cores=-1)
    assert await records.quotas.limits("p2", QuotaLimits()) == QuotaLimits()

    await records.quotas.reset("p1")
    assert await records.quotas.limits("p1", QuotaLimits()) == QuotaLimits()
    with pytest.raises(Invalid):
        await records.quotas.set("p1", {"bananas": 1})


async def test_key_pairs_are_counted_for_each_user(records: Records) -> None:
    for user in ("alice", "bob"):
        await records.keypairs.create(keypair("one", user), 2)

    results = await asyncio.gather(
        *(records.keypairs.create(keypair(f"k{number}"), 2) for number in range(10)), return_exceptions=True
    )

    assert sum(isinstance(result, KeyPair) for result in results) == 1
    assert (await records.quotas.usage("p1", "alice")).key_pairs == 2
    assert (await records.quotas.usage("p1", "bob")).key_pairs == 1


async def test_a_key_pair_name_is_taken_once_and_free_again_when_deleted(records: Records) -> None:
    made = await records.keypairs.create(keypair(), 2)

    with pytest.raises(Conflict, match=r"Key pair 'k' already exists\."):
        await records.keypairs.create(keypair(), 2)
    assert (await records.quotas.usage("p1", "alice")).key_pairs == 1
    assert await records.keypairs.get("alice", "k") == made
    other = await records.keypairs.create(keypair("K"), 2)  # another name
    assert len({made.id, other.id, 0}) == 3

    await records.keypairs.delete("alice", "k")
    with pytest.raises(NotFound):
        await records.keypairs.delete("alice", "k")
    assert (await records.quotas.usage("p1", "alice")).key_pairs == 1


async def test_key_pairs_are_listed_in_pages(records: Records) -> None:
    for name in ("c", "a", "b"):
        await records.keypairs.create(keypair(name), -1)

    first = await records.keypairs.list("alice", limit=2)
    rest = await records.keypairs.list("alice", marker=first[-1].name)

    assert [pair.name for pair in (*first, *rest)] == ["a", "b", "c"]
    with pytest.raises(Invalid, match="marker"):
        await records.keypairs.list("alice", marker="z")
