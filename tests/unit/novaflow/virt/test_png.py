import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.virt.image_facts import Refused
from novaflow.virt.png import PNG_MAGIC, to_png
from tests.support.pictures import png_size


@given(width=st.integers(1, 20), height=st.integers(1, 20))
def test_a_ppm_becomes_a_png_of_the_same_size(width: int, height: int) -> None:
    ppm = b"P6\n# by QEMU\n%d %d\n255\n" % (width, height) + bytes(3 * width * height)

    assert png_size(to_png(ppm)) == (width, height)


def test_a_png_is_left_as_it_is() -> None:
    assert to_png(PNG_MAGIC + b"...") == PNG_MAGIC + b"..."


@pytest.mark.parametrize("picture", [b"", b"GIF89a", b"P6 2 2 65535 " + bytes(24), b"P6 2 2 255\n" + bytes(11)])
def test_anything_else_is_refused(picture: bytes) -> None:
    with pytest.raises(Refused):
        to_png(picture)
