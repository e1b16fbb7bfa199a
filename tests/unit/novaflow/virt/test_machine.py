from pathlib import Path

from novaflow.virt.machine import cpu_info, qemu_version


def test_the_processor_is_described_by_what_linux_says(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 85\nmodel name\t: Xeon @ 2 GHz\nflags\t\t: fpu vmx\n"
    )

    facts = cpu_info(tmp_path / "cpuinfo")

    assert facts["arch"]
    assert (facts["vendor"], facts["model"], facts["features"]) == ("GenuineIntel", "Xeon @ 2 GHz", ["fpu", "vmx"])
    assert set(cpu_info(tmp_path / "none")) == {"arch"}


async def test_qemus_version_is_a_number_as_libvirt_has_it(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'QEMU emulator version 7.2.22 (Debian 1:7.2)'\n")
    program.chmod(0o755)

    assert await qemu_version(str(program)) == 7002022
    assert await qemu_version("/bin/true") == 0
