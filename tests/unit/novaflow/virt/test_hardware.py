import pytest

from novaflow.models import Flavor
from novaflow.virt.hardware import Hardware, read_hardware
from novaflow.virt.image_facts import Refused
from novaflow.virt.topology import Topology


def flavor(specs: dict[str, str] | None = None) -> Flavor:
    return Flavor(id="1", name="m1.tiny", vcpus=4, ram_mb=64, disk_gb=1, extra_specs=specs or {})


def test_who_says_nothing_gets_virtio_and_no_more() -> None:
    assert read_hardware(flavor(), {"os_distro": "debian"}) == Hardware()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hw_disk_bus", "floppy"),
        ("hw_scsi_model", "buslogic"),
        ("hw_vif_model", "wd8013"),
        ("hw_video_model", "ega"),
        ("hw_machine_type", "microvm"),
        ("hw_machine_type", "pc,accel=kvm"),
        ("hw_cpu_sockets", "two"),
        ("hw_cpu_cores", "0"),
        ("hw_cpu_threads", "-1"),
        ("hw_rng_model", "jitter"),
        ("hw_watchdog_action", "bark"),
        ("hw_qemu_guest_agent", "maybe"),
        ("hw:watchdog_action", "bark"),
        ("hw:cpu_sockets", "1.5"),
        ("hw_rng:allowed", "perhaps"),
        ("hw_rng:rate_bytes", "many"),
        ("quota:cpu_shares", "all"),
        ("quota:disk_read_iops_sec", ""),
    ],
)
def test_a_value_that_nobody_knows_is_refused_by_name(name: str, value: str) -> None:
    is_flavors = ":" in name
    image = {"hw_rng_model": "virtio"} if is_flavors else {name: value}  # or the flavor's word on it is not asked for

    with pytest.raises(Refused, match=name):
        read_hardware(flavor({name: value} if is_flavors else None), image)


def test_an_ide_disk_needs_the_older_machine() -> None:
    with pytest.raises(Refused, match="q35"):
        read_hardware(flavor(), {"hw_disk_bus": "ide", "hw_machine_type": "q35"})


def test_the_flavor_has_the_word_on_the_topology_and_the_image_on_the_watchdog() -> None:
    image = {"hw_cpu_sockets": "1", "hw_watchdog_action": "pause"}

    by_image = read_hardware(flavor(), image)
    by_both = read_hardware(flavor({"hw:cpu_cores": "2", "hw:watchdog_action": "reset"}), image)

    assert by_image.topology == Topology(sockets=1, cores=4, threads=1)
    assert by_both.topology == Topology(sockets=2, cores=2, threads=1)
    assert by_both.watchdog == "pause"
    assert read_hardware(flavor({"hw:watchdog_action": "reset"}), {"hw_watchdog_action": "disabled"}).watchdog == ""


def test_random_numbers_are_for_images_that_ask_and_flavors_that_do_not_forbid() -> None:
    image = {"hw_rng_model": "virtio"}

    assert not read_hardware(flavor({"hw_rng:allowed": "True"}), {}).has_rng
    assert read_hardware(flavor(), image).has_rng
    assert not read_hardware(flavor({"hw_rng:allowed": "False"}), image).has_rng


def test_quotas_are_numbers_by_name() -> None:
    found = read_hardware(
        flavor({"quota:cpu_shares": "512", "quota:disk_read_iops_sec": "100", "quota:vif_inbound_average": "1"}), {}
    )

    assert found.cpu_quotas == {"cpu_shares": 512}
    assert found.disk_quotas == {"disk_read_iops_sec": 100}
