"""What projects used is counted from when their servers were launched and terminated."""

from datetime import UTC, datetime, timedelta

import pytest

from novaflow.models import Flavor, Server
from novaflow.operations.usage import Period, usage_of
from novaflow.states import Vm
from tests.support.plain_server import plain_server

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
PERIOD = Period(start=NOON, stop=NOON + timedelta(hours=10), now=NOON + timedelta(hours=20))
FLAVOR = Flavor(id="1", name="m1.tiny", vcpus=2, ram_mb=512, disk_gb=1, ephemeral_gb=2)


def server(launched: float | None, gone: float | None = None, project: str = "p1") -> Server:
    """A server that was launched and deleted so many hours after noon."""
    return plain_server(
        NOON,
        project_id=project,
        flavor=FLAVOR,
        vm=Vm.ACTIVE if gone is None else Vm.DELETED,
        launched_at=None if launched is None else NOON + timedelta(hours=launched),
        deleted_at=None if gone is None else NOON + timedelta(hours=gone),
    )


@pytest.mark.parametrize(
    ("one", "hours"),
    [
        (server(2), 8.0),
        (server(-5), 10.0),
        (server(2, 5), 3.0),
        (server(-5, 5), 5.0),
        (server(2, 15), 8.0),
        (server(-5, 15), 10.0),
        (server(10), 0.0),
    ],
)
def test_only_the_time_within_the_period_counts(one: Server, hours: float) -> None:
    (project,) = usage_of([one], PERIOD)

    assert project.hours == hours
    assert project.vcpu_hours == 2 * hours
    assert project.ram_mb_hours == 512 * hours
    assert project.disk_gb_hours == 3 * hours


@pytest.mark.parametrize("one", [server(None), server(None, 5), server(11), server(-5, -1)])
def test_a_server_that_never_ran_in_the_period_is_not_listed(one: Server) -> None:
    assert usage_of([one], PERIOD) == []


def test_uptime_is_the_whole_life_so_far() -> None:
    (project,) = usage_of([server(-5), server(1, 3)], PERIOD)

    assert [usage.uptime for usage in project.servers] == [timedelta(hours=25), timedelta(hours=2)]


def test_every_project_is_counted_by_itself() -> None:
    found = usage_of([server(0), server(5, project="p2"), server(9)], PERIOD)

    assert {usage.project_id: usage.hours for usage in found} == {"p1": 11.0, "p2": 5.0}
