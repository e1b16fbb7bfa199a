"""Where guests can have a wire."""

import pytest

from novaflow.virt.wire.possible import OLDEST_QEMU, can_have_wires

NONE = "<secmodel><model>none</model><doi>0</doi></secmodel>"
APPARMOR = "<secmodel><model>apparmor</model><doi>0</doi></secmodel>"
SELINUX = "<secmodel><model>selinux</model><doi>0</doi><baselabel type='kvm'>system_u:system_r:svirt_t:s0</baselabel></secmodel>"


def dac(user: str) -> str:
    labels = "".join(f"<baselabel type='{kind}'>{user}</baselabel>" for kind in ("kvm", "qemu"))
    return f"<secmodel><model>dac</model><doi>0</doi>{labels}</secmodel>"


@pytest.mark.parametrize(
    ("models", "uid", "can"),
    [
        ("", 1000, True),
        (NONE, 1000, True),
        (NONE + dac("+0:+0"), 0, True),
        (NONE + dac("+64055:+109"), 0, False),
        (APPARMOR + dac("+0:+0"), 0, False),
        (SELINUX + dac("+107:+107"), 0, False),
    ],
)
def test_qemu_makes_its_end_where_it_is_who_we_are_and_nobody_confines_it(models: str, uid: int, can: bool) -> None:
    capabilities = f"<capabilities><host>{models}</host></capabilities>"

    assert can_have_wires(capabilities, qemu_version=OLDEST_QEMU, uid=uid) == can
    assert not can_have_wires(capabilities, qemu_version=OLDEST_QEMU - 1, uid=uid)
