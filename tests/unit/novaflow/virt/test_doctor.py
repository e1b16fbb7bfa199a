from pathlib import Path

from novaflow.virt.doctor import facts
from tests.support.libvirt import need_libvirt


async def test_everything_that_is_not_well_says_what_to_do(tmp_path: Path) -> None:
    found = await facts(tmp_path)

    assert len({fact.name for fact in found}) == len(found)
    for fact in found:
        assert fact.detail
        assert fact.is_ok == (not fact.fix)


async def test_a_machine_with_libvirt_is_told_that_the_embedded_one_works(tmp_path: Path) -> None:
    need_libvirt()

    by_name = {fact.name: fact for fact in await facts(tmp_path)}

    assert by_name["qemu:///embed"].is_ok
    assert "QEMU" in by_name["qemu:///embed"].detail
