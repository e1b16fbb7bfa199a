"""When a process says that it is well."""

import asyncio
from dataclasses import dataclass

import pytest

from novaflow.errors import ServiceUnavailable
from services import health
from services.health import HealthCheck
from services.vitals import Phase, Vitals


@dataclass
class Link:
    """A connection as a process sees it."""

    is_connected: bool = True
    reconnects: int = 0
    waiting: int = 0


class Records:
    """A database that answers, is away, or never says anything. `asked` counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.trouble: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    async def ask(self) -> None:
        self.asked += 1
        await self.answering.wait()
        if self.trouble:
            raise self.trouble


def serving(*phases: Phase, records: Records | None = None, link: Link | None = None) -> Vitals:
    """A process with services in these phases."""
    named = {f"service-{number}": phase for number, phase in enumerate(phases)}
    return Vitals("api", phases=named, transport=link, database=records)


async def test_a_process_that_serves_with_broker_and_database_is_well() -> None:
    found = await HealthCheck(serving(Phase.READY, records=Records(), link=Link())).look()

    assert (found.http_status, found.status, found.reasons) == (200, "ok", [])
    assert (found.process, found.services) == ("api", {"service-0": "ready"})
    assert (found.broker, found.database) == ("connected", "reachable")


async def test_what_a_process_does_not_have_is_not_missed() -> None:
    found = await HealthCheck(serving(Phase.READY)).look()

    assert (found.http_status, found.broker, found.database) == (200, None, None)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING, Phase.ENDED])
async def test_one_service_that_does_not_serve_is_a_reason(phase: Phase) -> None:
    found = await HealthCheck(serving(Phase.READY, phase)).look()

    assert (found.http_status, found.status, found.reasons) == (503, "unavailable", [f"service-1 is {phase}"])


async def test_a_process_that_has_just_begun_is_not_well_yet() -> None:
    found = await HealthCheck(Vitals("api")).look()

    assert (found.http_status, found.reasons) == (503, ["no service runs yet"])


async def test_a_broker_that_is_away_is_a_reason_from_the_first_moment_to_the_last() -> None:
    link = Link()
    check = HealthCheck(serving(Phase.READY, link=link))
    assert (await check.look()).http_status == 200

    link.is_connected = False
    away = await check.look()
    link.is_connected = True
    back = await check.look()

    assert (away.http_status, away.broker, away.reasons) == (503, "away", ["the broker is away"])
    assert back.http_status == 200


async def test_a_database_that_is_away_is_a_reason() -> None:
    records = Records()
    records.trouble = ServiceUnavailable(service="database", reason="the server cannot be reached")

    found = await HealthCheck(serving(Phase.READY, records=records)).look()

    assert (found.http_status, found.database, found.reasons) == (503, "away", ["the database is away"])


async def test_a_database_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_DATABASE_TIMEOUT", 0.05)
    records = Records()
    records.answering.clear()

    async with asyncio.timeout(5):
        found = await HealthCheck(serving(Phase.READY, records=records)).look()

    assert (found.http_status, found.reasons) == (503, ["the database is away"])


async def test_many_who_ask_are_one_question_to_the_database() -> None:
    records = Records()
    records.answering.clear()
    check = HealthCheck(serving(Phase.READY, records=records))
    looks = [asyncio.create_task(check.look()) for _ in range(50)]
    while not records.asked:
        await asyncio.sleep(0)

    records.answering.set()

    assert {found.http_status for found in await asyncio.gather(*looks)} == {200}
    assert records.asked == 1


async def test_an_old_answer_of_the_database_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_FRESH", 0.0)
    records = Records()
    check = HealthCheck(serving(Phase.READY, records=records))
    assert (await check.look()).http_status == 200

    records.trouble = ServiceUnavailable(service="database", reason="gone")
    await asyncio.sleep(0.01)  # the loop's clock has to move on

    assert (await check.look()).http_status == 503
