"""Passwords for servers whose owners gave none."""

import random
from typing import Final

# No letters that are mistaken for one another; one of each group at least (nova/utils.py, DEFAULT_PASSWORD_SYMBOLS).
_PASSWORD_GROUPS: Final = ("23456789", "ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz")
_PASSWORD_LENGTH: Final = 12


def generate_password() -> str:
    """A password for a server whose owner gave none."""
    dice = random.SystemRandom()
    letters = [dice.choice(group) for group in _PASSWORD_GROUPS]
    everything = "".join(_PASSWORD_GROUPS)
    letters += [dice.choice(everything) for _ in range(_PASSWORD_LENGTH - len(letters))]
    dice.shuffle(letters)
    return "".join(letters)
