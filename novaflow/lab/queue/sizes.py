"""Sizes of message bodies: one size, or the sizes that a Nova really sends."""

import random
from importlib.resources import files
from typing import Final

LEAST: Final = 64  # bytes: room for the number of the message in every contestant's form
MOST: Final = 8 * 2**20
NOVA: Final = "nova"
_DRAWS: Final = 1000


def nova_sizes() -> dict[int, int]:
    """Length of a message in characters -> how often it came, as published with oslo.messaging."""
    text = files(__package__).joinpath("nova_sizes.txt").read_text()
    items = (item.partition(":") for line in text.splitlines() if not line.startswith("#") for item in line.split())
    return {int(length): int(times) for length, _, times in items}


def draw(asked: int | str, seed: int) -> tuple[int, ...]:
    """The body sizes of a measurement in bytes, used round robin: `asked`, or draws from Nova's distribution."""
    if asked != NOVA:
        return (int(asked),)
    sizes = nova_sizes()
    return tuple(random.Random(seed).choices([*sizes], weights=[*sizes.values()], k=_DRAWS))  # noqa: S311  # no secret
