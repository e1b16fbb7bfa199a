"""Medians, and ratios that are taken within rounds."""

from novaflow.lab.ec2.figures import figures
from novaflow.lab.ec2.rounds import BOOT, LIST, Measurement


def listing(contestant: str, number: int, per_s: float, cpu_ms: float = 1.0) -> Measurement:
    return Measurement(contestant, LIST, 4, number, 10, per_s, 1e3 / per_s, {"api": cpu_ms, "database": 1.0})


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    machine_slows_down = [
        *(listing("ours", number, rate) for number, rate in enumerate((100.0, 60.0, 8.0))),
        *(listing("theirs", number, rate) for number, rate in enumerate((10.0, 20.0, 4.0))),
    ]

    ours, theirs = figures(machine_slows_down)

    assert (ours.per_s, theirs.per_s) == (60.0, 10.0)
    assert (ours.times_as_fast_as, theirs.times_as_fast_as) == ({"theirs": 3.0}, {"ours": 0.33})


def test_processor_time_is_that_of_all_processes_together() -> None:
    (figure,) = figures([listing("ours", number, 1.0, cpu_ms) for number, cpu_ms in enumerate((1.0, 5.0, 3.0))])

    assert (figure.cpu_ms, figure.cpu_ms_by_process) == (4.0, {"api": 3.0, "database": 1.0})


def test_acts_and_numbers_of_connections_are_apart() -> None:
    ordered = Measurement("ours", BOOT, 1, 0, 10, 5.0, 200.0)

    found = figures([ordered, listing("ours", 0, 50.0)])

    assert [(one.act, one.connections, one.per_s, one.cpu_ms) for one in found] == [
        (BOOT, 1, 5.0, None),
        (LIST, 4, 50.0, 2.0),
    ]
