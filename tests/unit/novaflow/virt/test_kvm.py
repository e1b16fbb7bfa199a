from pathlib import Path

import pytest

from novaflow.virt import kvm
from novaflow.virt.guest.kernel import readable_kernel
from tests.support.libvirt import need_libvirt

GOOD = kvm.Signs(has_device=True, can_open=True, has_cpu_flag=True, has_module=True)


class Trial:
    """Stands in for the kernel that is started, and counts."""

    def __init__(self, *, speaks: bool) -> None:
        self.count = 0
        self._speaks = speaks

    async def __call__(self, kernel: Path, accelerator: str, seconds: float) -> bool:
        assert accelerator == "kvm"
        self.count += 1
        return self._speaks


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"kernel")
    return path


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (kvm.Signs(has_device=False, can_open=False, has_cpu_flag=True, has_module=True), "no /dev/kvm"),
        (kvm.Signs(has_device=True, can_open=False, has_cpu_flag=True, has_module=True), "group kvm"),
        (kvm.Signs(has_device=True, can_open=True, has_cpu_flag=False, has_module=False), "neither vmx nor svm"),
    ],
)
async def test_bad_signs_are_enough(tmp_path: Path, kernel: Path, signs: kvm.Signs, reason: str) -> None:
    trial = Trial(speaks=True)

    verdict = await kvm.judge(tmp_path, signs=signs, kernel=kernel, says=trial)

    assert not verdict.is_usable
    assert reason in verdict.reason
    assert trial.count == 0


@pytest.mark.parametrize("speaks", [True, False])
async def test_good_signs_are_proven_by_a_kernel_once(tmp_path: Path, kernel: Path, speaks: bool) -> None:
    trial = Trial(speaks=speaks)

    first = await kvm.judge(tmp_path, signs=GOOD, kernel=kernel, says=trial)
    second = await kvm.judge(tmp_path, signs=GOOD, kernel=kernel, says=trial)

    assert first.is_usable == speaks
    assert second == first
    assert trial.count == 1


async def test_another_kernel_is_another_trial(tmp_path: Path, kernel: Path) -> None:
    trial = Trial(speaks=True)
    await kvm.judge(tmp_path, signs=GOOD, kernel=kernel, says=trial)

    kernel.write_bytes(b"another kernel")
    await kvm.judge(tmp_path, signs=GOOD, kernel=kernel, says=trial)

    assert trial.count == 2


async def test_a_damaged_verdict_is_made_anew(tmp_path: Path, kernel: Path) -> None:
    (tmp_path / "kvm.json").write_text("{")

    verdict = await kvm.judge(tmp_path, signs=GOOD, kernel=kernel, says=Trial(speaks=True))

    assert verdict.is_usable


def test_signs_are_read_from_the_machine(tmp_path: Path) -> None:
    for directory in ("dev", "proc", "sys/module/kvm_intel"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "dev/kvm").touch()
    (tmp_path / "proc/cpuinfo").write_text("model name\t: x\nflags\t\t: fpu vmx sse\n")

    assert kvm.read_signs(tmp_path) == GOOD
    assert kvm.read_signs(tmp_path / "nowhere") == kvm.Signs(
        has_device=False, can_open=False, has_cpu_flag=False, has_module=False
    )


async def test_an_emulated_kernel_says_its_banner_and_what_is_none_does_not(kernel: Path) -> None:
    need_libvirt()
    real = readable_kernel()
    if real is None:
        pytest.skip("no Linux kernel can be read in /boot")

    assert await kvm.says_banner(real, "tcg", 60.0)
    assert not await kvm.says_banner(kernel, "tcg", 60.0)
