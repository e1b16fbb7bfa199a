"""The fake screen."""

import pytest

from novaflow.states import Power
from novaflow.virt.fake.guest import FakeGuest, Memory
from novaflow.virt.fake.screen import HEIGHT, WIDTH, picture
from tests.support.pictures import png_size


def guest(power: Power, boot_id: str = "a", counter: int = 0) -> FakeGuest:
    memory = Memory(boot_id=boot_id, counter=counter)
    return FakeGuest(server_id="s", name="web", hostname="web", power=power, memory=memory)


@pytest.mark.parametrize("power", [Power.RUNNING, Power.PAUSED])
def test_the_screen_is_a_png_of_its_size(power: Power) -> None:
    assert png_size(picture(guest(power))) == (WIDTH, HEIGHT)


def test_the_screen_differs_by_power_by_boot_and_by_what_is_in_memory() -> None:
    shown = [
        guest(Power.RUNNING),
        guest(Power.PAUSED),
        guest(Power.RUNNING, boot_id="b"),
        guest(Power.RUNNING, counter=1),
    ]

    assert len({picture(one) for one in shown}) == len(shown)
    assert picture(guest(Power.RUNNING)) == picture(guest(Power.RUNNING))
