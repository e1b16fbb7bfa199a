"""What the EC2 API keeps, on every kind of database: ids given once, tokens and signatures taken by one, tags."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import client_tokens, ec2_ids
from novaflow.db.client_tokens import ClientTokens, TokenTaken
from novaflow.db.database import Database
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_signatures import Ec2Signatures
from novaflow.db.ec2_tags import Ec2Tags
from novaflow.errors import LimitExceeded
from novaflow.models import ClientToken
from tests.support.clocks import ManualClock

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)


async def test_a_thing_has_one_number_whoever_sees_it_first(database: Database) -> None:
    things = [str(uuid4()) for _ in range(20)]

    seen = await asyncio.gather(
        *(Ec2Ids(database).numbers(ec2_ids.INSTANCE, things if odd else things[::-1]) for odd in (0, 1, 0, 1))
    )

    assert all(numbers == seen[0] for numbers in seen)
    assert len(set(seen[0].values())) == len(things)
    assert await Ec2Ids(database).resources(ec2_ids.INSTANCE, seen[0].values()) == {
        number: thing for thing, number in seen[0].items()
    }


async def test_a_number_is_of_one_kind(database: Database) -> None:
    thing, ids = str(uuid4()), Ec2Ids(database)
    number = await ids.number(ec2_ids.VOLUME, thing)

    assert await ids.resources(ec2_ids.SNAPSHOT, [number]) == {}
    assert await ids.number(ec2_ids.SNAPSHOT, thing) != number


async def test_a_client_token_is_taken_by_one_and_by_it_again(database: Database) -> None:
    once, project = ClientToken(token="t", digest="d"), uuid4().hex

    async def take(connection: AsyncConnection, reservation: str) -> None:
        await client_tokens.take(connection, project, once, reservation, NOW)

    await database.write(partial(take, reservation="r-first"))
    await database.write(partial(take, reservation="r-first"))
    with pytest.raises(TokenTaken):
        await database.write(partial(take, reservation="r-second"))

    tokens = ClientTokens(database)
    assert await tokens.find(project, "t") == (once, "r-first")
    assert await tokens.find(uuid4().hex, "t") is None
    assert await tokens.of_reservations(project, ["r-first", "r-second"]) == {"r-first": "t"}


async def test_a_signature_is_taken_by_one_until_it_is_given_back_or_too_old(database: Database) -> None:
    digest, clock, lasts = uuid4().hex, ManualClock(NOW), timedelta(days=7)
    signatures = Ec2Signatures(database, clock)

    taken = await asyncio.gather(*(signatures.use(digest, lasts) for _ in range(5)))
    assert sorted(taken) == [False, False, False, False, True]
    await signatures.forget(digest)
    assert await signatures.use(digest, lasts)

    clock.advance(lasts - timedelta(hours=1))
    assert not await signatures.use(digest, lasts)
    clock.advance(timedelta(hours=2))
    assert await signatures.use(digest, lasts)


async def test_tags_are_of_a_project_and_bounded(database: Database) -> None:
    tags, project, other = Ec2Tags(database), uuid4().hex, uuid4().hex

    await tags.set(project, ["vol-00000001", "vol-00000002"], {"a": "1", "b": "2"}, most=2)
    await tags.set(project, ["vol-00000001"], {"a": "3"}, most=2)
    with pytest.raises(LimitExceeded):
        await tags.set(project, ["vol-00000001"], {"c": "4"}, most=2)
    await tags.remove(project, ["vol-00000002"], {"a": None, "b": "other"})

    assert await tags.of_project(project) == {"vol-00000001": {"a": "3", "b": "2"}, "vol-00000002": {"b": "2"}}
    assert await tags.of_project(other) == {}
    await tags.remove(project, ["vol-00000001"], None)
    assert await tags.of_project(project) == {"vol-00000002": {"b": "2"}}
