import xml.etree.ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.models import Address, Flavor
from novaflow.virt.domain_facts import Machine, Owner, Paths
from novaflow.virt.domain_network import QEMU_URI
from novaflow.virt.domain_xml import build_domain, domain_name, read_owner
from novaflow.virt.driver import GuestSpec
from novaflow.virt.wire.laid import LaidWire

OWNER = Owner(host="compute-1", directory="/var/lib/novaflow/compute-1")
EMULATED = Machine(virt_type="qemu", emulator="/usr/bin/qemu-system-x86_64")
PATHS = Paths(console="/g/console.log", disk="/g/disk", config_drive="/g/config.iso")
GUEST = GuestSpec(
    server_id="0a1b2c3d-0000-4000-8000-000000000001",
    name="web",
    project_id="project",
    user_id="user",
    flavor=Flavor(id="2", name="m1.small", vcpus=2, ram_mb=2048, disk_gb=20),
    addresses=(Address(network="private", ip="10.0.0.7", mac="fa:16:3e:00:00:07"),),
)


def domain(guest: GuestSpec = GUEST, machine: Machine = EMULATED, paths: Paths = PATHS) -> ET.Element:
    return ET.fromstring(build_domain(guest, paths, machine, OWNER))


def changed(**changes: object) -> GuestSpec:
    return GuestSpec(**({name: getattr(GUEST, name) for name in GUEST.__struct_fields__} | changes))


def of(parent: ET.Element, path: str) -> ET.Element:
    found = parent.find(path)
    assert found is not None, path
    return found


def command_line(xml: ET.Element) -> list[str]:
    return [argument.get("value", "") for argument in xml.iter(f"{{{QEMU_URI}}}arg")]


def test_a_guest_has_its_id_its_name_and_its_size() -> None:
    xml = domain()

    assert xml.get("type") == "qemu"
    assert xml.findtext("uuid") == GUEST.server_id
    assert xml.findtext("name") == domain_name(GUEST.server_id) == "instance-0a1b2c3d"
    assert (xml.findtext("vcpu"), xml.findtext("memory")) == ("2", "2048")
    assert xml.findtext("on_poweroff") == "destroy"


def test_disks_are_named_with_their_format_and_the_config_drive_is_read_only() -> None:
    disk, config = domain().findall("devices/disk")

    assert [of(one, "source").get("file") for one in (disk, config)] == ["/g/disk", "/g/config.iso"]
    assert [of(one, "driver").get("type") for one in (disk, config)] == ["qcow2", "raw"]
    assert [one.find("readonly") is not None for one in (disk, config)] == [False, True]


def test_the_console_is_appended_to_a_file() -> None:
    source = of(domain(), "devices/serial/source")

    assert source.attrib == {"path": "/g/console.log", "append": "on"}


def test_a_guest_boots_from_its_disk_or_from_a_kernel_beside_it() -> None:
    by_disk = domain()
    by_kernel = domain(changed(kernel="/k", ramdisk="/r", command_line="quiet"))

    assert by_disk.find("os/boot") is not None
    assert [by_kernel.findtext(f"os/{tag}") for tag in ("kernel", "initrd", "cmdline")] == ["/k", "/r", "quiet"]
    assert by_kernel.find("os/boot") is None


def test_the_cpu_is_the_hosts_under_kvm_and_the_code_cache_is_bounded_under_emulation() -> None:
    virtualised = domain(machine=Machine(virt_type="kvm", emulator=""))

    assert virtualised.get("type") == "kvm"
    assert of(virtualised, "cpu").get("mode") == "host-passthrough"
    assert virtualised.find("features/tcg") is None
    assert domain().findtext("features/tcg/tb-cache") == "32"


def test_the_network_has_the_servers_address_and_no_way_to_the_host() -> None:
    netdev, device = command_line(domain())[1::2]

    assert netdev == "user,id=net0,restrict=on,net=10.0.0.0/16,host=10.0.0.1,dns=10.0.255.254,dhcpstart=10.0.0.7"
    assert "mac=fa:16:3e:00:00:07" in device


def test_with_a_wire_the_first_card_leads_to_the_host_and_the_others_nowhere() -> None:
    more = Address(network="private", ip="10.0.0.8", mac="fa:16:3e:00:00:08")
    wire = LaidWire(mac="fa:16:3e:00:00:07", ip="10.0.0.7", subnet="10.0.0.0/16", directory="/g,1")

    first, device, second, _ = command_line(
        domain(changed(addresses=(*GUEST.addresses, more)), paths=msgspec.structs.replace(PATHS, wire=wire))
    )[1::2]

    assert first == "dgram,id=net0,local.type=unix,local.path=/g,,1/qemu,remote.type=unix,remote.path=/g,,1/host"
    assert device == command_line(domain())[3]
    assert second.startswith("user,id=net1,restrict=on,")


def test_a_guest_without_addresses_has_no_network() -> None:
    assert command_line(domain(changed(addresses=()))) == []


def test_the_screen_is_there_only_if_wanted() -> None:
    assert domain().find("devices/graphics") is None
    screen = of(domain(machine=Machine(virt_type="qemu", emulator="", has_vnc=True)), "devices/graphics")
    assert screen.get("listen") == "127.0.0.1"


@given(name=st.text(max_size=50), host=st.text(max_size=50))
def test_any_name_is_escaped_and_never_more_than_a_name(name: str, host: str) -> None:
    xml = build_domain(changed(name=name), PATHS, EMULATED, Owner(host=host, directory="/d"))

    assert [child.tag for child in ET.fromstring(xml)].count("devices") == 1


def test_the_owner_can_be_read_back() -> None:
    metadata = of(domain(), "metadata")[0]

    assert read_owner(ET.tostring(metadata, encoding="unicode")) == OWNER


@pytest.mark.parametrize("metadata", ["", "<guest/>", "not xml", "<guest><server id='1'/></guest>"])
def test_what_says_no_owner_has_none(metadata: str) -> None:
    assert read_owner(metadata) is None
