"""From measurements to figures."""

from typing import Any

import pytest

from novaflow.lab.queue.figures import STEPS, Measurement, figures


def measurement(contestant: str, number: int, rate: float, **more: Any) -> Measurement:
    return Measurement(
        **{
            "contestant": contestant,
            "round": number,
            "in_flight": 16,
            "messages": 1000,
            "seconds": 1000 / rate,
            "quantiles_us": tuple(float(step) for step in range(STEPS)),
            "handled": 1000,
            **more,
        }
    )


def test_a_figure_is_the_median_of_its_rounds() -> None:
    (figure,) = figures([measurement("novaflow", number, rate) for number, rate in enumerate((100, 400, 200))])

    assert figure.rate == pytest.approx(200)
    assert (figure.least, figure.most) == pytest.approx((100, 400))
    assert figure.rounds == 3
    assert figure.messages == 3000


def test_the_quantiles_of_a_figure_are_medians_step_by_step() -> None:
    several = [measurement("novaflow", number, 100, quantiles_us=(number * 10.0,) * STEPS) for number in range(3)]

    (figure,) = figures(several)

    assert figure.quantiles_us == (10.0,) * STEPS
    assert figure.quantile(99) == 10.0


def test_the_share_of_the_limit_compares_within_each_round() -> None:
    # The machine halves its speed after the first round; medians of the rates alone would say 200 / 150.
    drifting = [
        *(measurement("limit", number, rate) for number, rate in enumerate((400, 100))),
        *(measurement("novaflow", number, rate) for number, rate in enumerate((200, 50))),
        measurement("novaflow", 2, 350),
    ]

    shares = {figure.contestant: figure.share for figure in figures(drifting)}

    assert shares == pytest.approx({"novaflow": 0.5, "limit": 1.0})


def test_without_the_limit_there_is_no_share() -> None:
    failed = Measurement(contestant="limit", round=0, in_flight=16, failure="it does not build")

    shares = [figure.share for figure in figures([measurement("novaflow", 0, 100), failed])]

    assert shares == [None, None]


def test_cpu_is_per_message_that_the_reading_covers() -> None:
    (figure,) = figures(
        [measurement("novaflow", 0, 100, client_cpu_s=0.1, server_cpu_s=0.1, broker_cpu_s=0.05, handled=500)]
    )

    assert (figure.client_us, figure.server_us, figure.broker_us) == pytest.approx((100, 200, 100))
    assert figure.cpu_us == pytest.approx(400)


def test_a_broker_that_cannot_be_seen_leaves_the_sum_unknown() -> None:
    (figure,) = figures([measurement("novaflow", 0, 100, client_cpu_s=0.1)])

    assert figure.broker_us is None
    assert figure.cpu_us is None


def test_a_figure_with_losses_is_marked_and_its_rate_does_not_count_them() -> None:
    (figure,) = figures([measurement("novaflow", number, 100, lost=lost) for number, lost in enumerate((0, 500, 500))])

    assert figure.is_marked
    assert figure.lost == 1000
    assert figure.rate == pytest.approx(50)


def test_a_fanout_lost_by_one_of_two_listeners_counts_as_half() -> None:
    (figure,) = figures([measurement("novaflow", 0, 100, copies=2, lost=1000)])

    assert figure.rate == pytest.approx(50)


def test_duplicates_alone_are_counted_but_do_not_spoil_the_rate() -> None:
    (figure,) = figures([measurement("novaflow", 0, 100, duplicated=3)])

    assert figure.duplicated == 3
    assert not figure.is_marked


def test_a_contestant_that_failed_every_round_says_why_and_stands_last() -> None:
    failures = [Measurement(contestant="slow", round=number, in_flight=16, failure="no answer") for number in range(2)]

    first, last = figures([*failures, measurement("novaflow", 0, 100)])

    assert first.contestant == "novaflow"
    assert (last.contestant, last.rounds, last.failures) == ("slow", 0, ("no answer",))
    assert last.quantile(50) is None
