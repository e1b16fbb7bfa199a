"""A compute host's calls to the conductor, and its patience."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from novaflow.errors import ServiceUnavailable, TaskSuperseded
from novaflow.messages import CONDUCTOR, REPORT_PROGRESS, NewState, Progress, ServerOrder
from novaflow.states import Event, Task, Vm
from rpc.errors import RemoteFailure
from rpc.memory import MemoryBroker
from services.compute.records import TRIES, ConductorAway, Records
from tests.support.cloud import USER, Spans, bus_on
from tests.support.quick_clock import QuickClock

ORDER = ServerOrder(context=USER, server_id="s", task_id="t")


@asynccontextmanager
async def conductor_that(*answers: Exception | NewState) -> AsyncIterator[tuple[Records, list[Progress], QuickClock]]:
    """A conductor that answers reports so, one after the other."""
    broker, spans, clock = MemoryBroker(), Spans(), QuickClock()
    reports: list[Progress] = []
    left = list(answers)

    async def report_progress(ask: Progress) -> NewState:
        reports.append(ask)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    served, asking = bus_on(broker, spans), bus_on(broker, spans)
    served.on_call(REPORT_PROGRESS, report_progress)
    await served.serve(CONDUCTOR)
    yield Records(asking, "c1", clock), reports, clock
    await asking.close()
    await served.close()


DONE = NewState(vm=Vm.STOPPED, task=Task.IDLE)


async def test_a_report_names_task_and_host() -> None:
    async with conductor_that(DONE) as (records, reports, _):
        assert await records.progress(ORDER, Event.STOPPED) == DONE

        assert reports == [Progress(server_id="s", task_id="t", host="c1", event=Event.STOPPED)]


async def test_a_report_is_repeated_while_the_conductor_fails_or_has_no_database() -> None:
    away = ServiceUnavailable(service="database", reason="it did not answer in time")
    async with conductor_that(away, RuntimeError("a bug"), DONE) as (records, reports, clock):
        assert await records.progress(ORDER, Event.STOPPED) == DONE

        assert len(reports) == 3
        assert clock.slept == [0.5, 1.0]


async def test_a_definite_no_is_not_repeated() -> None:
    async with conductor_that(TaskSuperseded(server_id="s", task_id="t"), DONE) as (records, reports, _):
        with pytest.raises(TaskSuperseded):
            await records.progress(ORDER, Event.STOPPED)

        assert len(reports) == 1


async def test_when_the_budget_is_spent_nobody_knows_what_was_recorded() -> None:
    away = ServiceUnavailable(service="database", reason="it did not answer in time")
    async with conductor_that(*(away for _ in range(TRIES))) as (records, reports, _):
        with pytest.raises(ConductorAway, match=r"conductor\.report_progress"):
            await records.progress(ORDER, Event.STOPPED)

        assert len(reports) == TRIES


async def test_a_conductor_that_fails_every_time_is_not_taken_for_one_that_is_away() -> None:
    async with conductor_that(*(RuntimeError("a bug") for _ in range(TRIES))) as (records, reports, _):
        with pytest.raises(RemoteFailure, match="a bug"):
            await records.progress(ORDER, Event.STOPPED)

        assert len(reports) == TRIES
