"""Sizes of message bodies."""

from novaflow.lab.queue.sizes import draw, nova_sizes


def test_novas_sizes_are_the_published_ones() -> None:
    every = sorted(length for length, times in nova_sizes().items() for _ in range(times))

    assert len(every) == 4077
    assert every[len(every) // 2] == 2450
    assert every[int(len(every) * 0.9)] == 6480
    assert every[-1] == 11292


def test_draws_follow_the_distribution_and_repeat_with_their_seed() -> None:
    drawn = sorted(draw("nova", 7))

    assert draw("nova", 7) == draw("nova", 7) != draw("nova", 8)
    assert set(drawn) <= nova_sizes().keys()
    assert 2200 <= drawn[len(drawn) // 2] <= 2650
    assert 6300 <= drawn[int(len(drawn) * 0.9)] <= 6600


def test_one_size_is_that_size() -> None:
    assert draw(1024, 1) == (1024,)
