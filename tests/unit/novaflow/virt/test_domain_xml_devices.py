"""The devices of a domain, by what flavor and image say."""

import xml.etree.ElementTree as ET

import msgspec
import pytest

from novaflow.models import Address, Flavor
from novaflow.virt.domain_facts import Machine, Owner, Paths
from novaflow.virt.domain_network import QEMU_URI
from novaflow.virt.domain_xml import build_domain
from novaflow.virt.driver import GuestSpec

OWNER = Owner(host="compute-1", directory="/var/lib/novaflow/compute-1")
MACHINE = Machine(virt_type="qemu", emulator="", has_vnc=True, agent_directory="/run/agents")
ALL = Paths(
    console="/g/console.log", disk="/g/disk", ephemeral="/g/ephemeral", swap="/g/swap", config_drive="/g/config.iso"
)
RESCUED = Paths(
    console="/g/console.log", disk="/g/rescue/disk", own_disk="/g/disk", config_drive="/g/rescue/config.iso"
)
FLAVOR = Flavor(id="2", name="m1.small", vcpus=4, ram_mb=2048, disk_gb=20)
GUEST = GuestSpec(
    server_id="0a1b2c3d-0000-4000-8000-000000000001", name="web", project_id="project", user_id="user", flavor=FLAVOR,
    addresses=(Address(network="private", ip="10.0.0.7", mac="fa:16:3e:00:00:07"),),
)  # fmt: skip


def domain(
    properties: dict[str, str] | None = None,
    specs: dict[str, str] | None = None,
    machine: Machine = MACHINE,
    paths: Paths = ALL,
) -> ET.Element:
    guest = msgspec.structs.replace(
        GUEST, properties=properties or {}, flavor=msgspec.structs.replace(FLAVOR, extra_specs=specs or {})
    )
    return ET.fromstring(build_domain(guest, paths, machine, OWNER))


def disks(xml: ET.Element) -> list[tuple[str, str, str]]:
    """Target, bus and file."""
    found = []
    for disk in xml.iterfind("devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        assert target is not None
        assert source is not None
        found.append((target.get("dev", ""), target.get("bus", ""), source.get("file", "")))
    return found


def only(xml: ET.Element, path: str) -> ET.Element:
    (found,) = xml.iterfind(path)
    return found


def test_the_root_disk_comes_first_and_the_config_drive_last() -> None:
    assert disks(domain()) == [
        ("vda", "virtio", "/g/disk"),
        ("vdb", "virtio", "/g/ephemeral"),
        ("vdc", "virtio", "/g/swap"),
        ("vdd", "virtio", "/g/config.iso"),
    ]


def test_a_rescued_guest_has_its_own_disk_second() -> None:
    assert [(name, file) for name, _, file in disks(domain(paths=RESCUED))] == [
        ("vda", "/g/rescue/disk"),
        ("vdb", "/g/disk"),
        ("vdc", "/g/rescue/config.iso"),
    ]


def test_a_rescued_guest_has_its_own_disk_on_the_bus_that_it_is_used_to() -> None:
    ide = msgspec.structs.replace(RESCUED, own_bus="ide")

    assert [name for name, _, _ in disks(domain(paths=ide))] == ["vda", "hda", "vdb"]


@pytest.mark.parametrize(
    ("bus", "first", "last"), [("ide", "hda", "hdd"), ("scsi", "sda", "sdd"), ("sata", "sda", "sdd")]
)
def test_disks_are_on_the_bus_of_the_image(bus: str, first: str, last: str) -> None:
    found = disks(domain({"hw_disk_bus": bus}))

    assert (found[0][0], found[-1][0]) == (first, last)
    assert {one[1] for one in found} == {bus}


def test_the_scsi_controller_is_the_images() -> None:
    xml = domain({"hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi"})

    assert only(xml, "devices/controller[@type='scsi']").get("model") == "virtio-scsi"
    assert domain({"hw_scsi_model": "virtio-scsi"}).find("devices/controller[@type='scsi']") is None


@pytest.mark.parametrize(
    ("model", "device"), [("virtio", "virtio-net-pci"), ("e1000", "e1000"), ("rtl8139", "rtl8139")]
)
def test_the_network_card_is_the_images(model: str, device: str) -> None:
    words = [argument.get("value", "") for argument in domain({"hw_vif_model": model}).iter(f"{{{QEMU_URI}}}arg")]

    assert words[-1].startswith(f"{device},netdev=net0,")


def test_the_screen_is_the_images_or_none() -> None:
    assert only(domain({"hw_video_model": "cirrus"}), "devices/video/model").get("type") == "cirrus"
    assert domain({"hw_video_model": "none"}).find("devices/graphics") is None


def test_the_agents_channel_has_a_short_path_where_we_choose_it() -> None:
    channel = only(domain({"hw_qemu_guest_agent": "yes"}), "devices/channel")
    source = channel.find("source")

    assert only(channel, "target").get("name") == "org.qemu.guest_agent.0"
    assert source is not None
    assert source.get("path") == f"/run/agents/{GUEST.server_id}"
    assert domain({"hw_qemu_guest_agent": "no"}).find("devices/channel") is None


def test_random_numbers_come_at_the_flavors_rate() -> None:
    specs = {"hw_rng:allowed": "True", "hw_rng:rate_bytes": "2048", "hw_rng:rate_period": "500"}
    rng = only(domain({"hw_rng_model": "virtio"}, specs), "devices/rng")

    assert only(rng, "rate").attrib == {"bytes": "2048", "period": "500"}


def test_a_watchdog_does_what_it_is_told() -> None:
    assert only(domain(specs={"hw:watchdog_action": "poweroff"}), "devices/watchdog").get("action") == "poweroff"


def test_the_machine_and_the_layout_of_its_processors() -> None:
    xml = domain({"hw_machine_type": "q35"}, {"hw:cpu_cores": "4"})

    assert only(xml, "os/type").get("machine") == "q35"
    assert only(xml, "cpu/topology").attrib == {"sockets": "1", "cores": "4", "threads": "1"}
    assert domain().find("cpu") is None


def test_disk_quotas_bind_every_disk_but_the_config_drive() -> None:
    found = list(domain(specs={"quota:disk_write_bytes_sec": "1000000"}).iterfind("devices/disk"))

    assert [disk.findtext("iotune/write_bytes_sec") for disk in found] == ["1000000"] * 3 + [None]


def test_cpu_quotas_need_control_groups() -> None:
    specs = {"quota:cpu_shares": "512", "quota:cpu_quota": "50000"}
    with_groups = msgspec.structs.replace(MACHINE, has_cgroups=True)

    assert domain(specs=specs).find("cputune") is None
    tuned = only(domain(specs=specs, machine=with_groups), "cputune")
    assert (tuned.findtext("shares"), tuned.findtext("quota")) == ("512", "50000")
