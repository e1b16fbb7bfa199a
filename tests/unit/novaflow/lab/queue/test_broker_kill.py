"""What is read from the times of a broker's kill; the kill itself is tests/acceptance/test_bench.py."""

import pytest

from novaflow.lab.queue.broker_kill import KillPlan, gap, recovery


def test_the_gap_is_the_longest_wait_that_ended_after_the_kill() -> None:
    assert gap([0.0, 5.0, 5.1, 8.0, 8.5], killed=5.05) == pytest.approx(2.9)


def test_nothing_after_the_kill_is_no_gap_but_no_recovery_either() -> None:
    assert gap([1.0, 2.0], killed=3.0) == 0.0
    assert recovery([1.0, 2.0], back=3.0) is None


def test_recovery_counts_from_the_brokers_return() -> None:
    assert recovery([1.0, 4.25, 5.0], back=4.0) == pytest.approx(0.25)


def test_a_message_may_wait_for_longer_than_the_broker_is_away() -> None:
    assert KillPlan(down=20.0).settings().publish_timeout > 20.0


def test_a_delivery_that_cannot_be_is_refused_before_the_load() -> None:
    with pytest.raises(ValueError, match="delivery"):
        KillPlan(delivery="careless")
