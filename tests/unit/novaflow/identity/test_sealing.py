import pytest
from cryptography.fernet import Fernet

from novaflow.errors import Invalid, ServiceUnavailable
from novaflow.identity.sealing import KEPT_KEYS, Sealing, new_keys, rotated

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def test_what_is_sealed_is_opened_and_says_nothing_by_itself() -> None:
    keys = new_keys()
    sealing = Sealing(lambda: keys)

    sealed = sealing.seal(SECRET)

    assert SECRET not in sealed
    assert sealed != sealing.seal(SECRET)
    assert len(sealed) <= 255  # what the column takes
    assert sealing.open(sealed) == SECRET


def test_old_keys_open_and_the_newest_seals() -> None:
    old = new_keys()
    sealed = Sealing(lambda: old).seal(SECRET)
    keys = rotated(old)
    sealing = Sealing(lambda: keys)

    again = sealing.again(sealed)

    assert sealing.open(sealed) == SECRET
    assert Fernet(keys.split()[0]).decrypt(again).decode() == SECRET


def test_a_process_that_meets_a_newer_key_reads_the_keys_again() -> None:
    keys = [new_keys()]
    late = Sealing(lambda: keys[-1])
    keys.append(rotated(keys[-1]))

    assert late.open(Sealing(lambda: keys[-1]).seal(SECRET)) == SECRET


def test_what_a_late_process_seals_is_opened_after_a_rotation() -> None:
    keys = [new_keys()]
    late = Sealing(lambda: keys[0])
    keys.append(rotated(keys[-1]))

    sealed = late.seal(SECRET)

    assert Sealing(lambda: rotated(keys[-1])).open(sealed) == SECRET


def test_a_secret_of_an_unknown_key_is_an_outage_that_says_why() -> None:
    keys, others = new_keys(), new_keys()

    with pytest.raises(ServiceUnavailable, match="a key that it does not have"):
        Sealing(lambda: keys).open(Sealing(lambda: others).seal(SECRET))


def test_a_rotation_keeps_the_last_keys() -> None:
    keys = [new_keys()]
    for _ in range(KEPT_KEYS):
        keys.append(rotated(keys[-1]))

    assert len(keys[-1].split()) == KEPT_KEYS
    assert keys[0].strip() not in keys[-1]
    assert keys[1].split()[0] in keys[-1]


@pytest.mark.parametrize("text", ["", "\n", "key", "AAAA", "\xff" * 44])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="URL-safe base64"):
        Sealing(lambda: text)
    with pytest.raises(Invalid):
        rotated(text)
