"""A domain as it is here and as it is to be there: the guest sees no difference, the hosts do."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from novaflow.virt.domain_facts import Machine, Owner, Paths
from novaflow.virt.domain_network import netdevs
from novaflow.virt.domain_xml import build_domain
from novaflow.virt.driver import GuestSpec
from novaflow.virt.image_facts import Refused
from novaflow.virt.moved_domain import moved, owner_there, writable_disks
from novaflow.virt.wire.laid import LaidWire
from tests.support.guests import ADDRESS, guest_spec

SERVER = "6b1f8a3e-2c57-4b0d-9e3a-5f1d2c3b4a59"


def domain(home: str, guest: GuestSpec, *, virt_type: str = "qemu", **paths: str) -> str:
    """The domain of a host whose files are below /`home`."""
    machine = Machine(virt_type=virt_type, emulator=f"/{home}/qemu", has_vnc=True, agent_directory=f"/{home}/agents")
    disks: dict[str, Any] = {"disk": f"/{home}/disk", "config_drive": f"/{home}/config.iso"} | paths
    files = Paths(console=f"/{home}/console.log", **disks)
    return build_domain(guest, files, machine, Owner(host=home, directory=f"/{home}"))


def guest(home: str, **changes: Any) -> GuestSpec:
    properties = {"hw_qemu_guest_agent": "yes"}
    facts: dict[str, Any] = {"server_id": SERVER, "properties": properties, "kernel": f"/{home}/kernel"}
    return guest_spec(**(facts | changes))


def running(xml: str) -> str:
    """As libvirt shows it while it runs: with what it has added."""
    root = ET.fromstring(xml)
    kind = root.find("os/type")
    assert kind is not None
    kind.set("machine", "pc-i440fx-7.2")
    for disk in root.iterfind("devices/disk"):
        ET.SubElement(disk, "address", type="pci", slot="0x07")
        source = disk.find("source")
        assert source is not None
        source.set("index", "1")
        ET.SubElement(ET.SubElement(disk, "backingStore", type="file"), "source", file="/here/cached-image")
    for channel in root.iterfind("devices/channel"):
        ET.SubElement(channel, "address", type="virtio-serial", port="1")
    console = ET.SubElement(root.findall("devices")[0], "console", type="file")
    ET.SubElement(console, "source", path="/here/console.log", append="on")
    for graphics in root.iterfind("devices/graphics"):
        graphics.set("port", "5917")
    ET.SubElement(ET.SubElement(root, "seclabel", type="dynamic", model="dac"), "label").text = "+0:+0"
    return ET.tostring(root, encoding="unicode")


def test_nothing_of_this_host_is_left() -> None:
    sent = moved(running(domain("here", guest("here"))), domain("there", guest("there")))

    assert "/here/" not in sent
    assert "seclabel" not in sent
    assert "5917" not in sent
    assert owner_there(sent) == Owner(host="there", directory="/there")
    assert writable_disks(sent) == {"disk": "/there/disk"}
    root = ET.fromstring(sent)
    assert root.findtext("os/kernel") == "/there/kernel"
    assert root.findtext("devices/emulator") == "/there/qemu"
    logs = [root.find(f"devices/{tag}/source") for tag in ("serial", "console")]
    assert [log.get("path") for log in logs if log is not None] == ["/there/console.log"] * 2


def test_what_the_guest_sees_stays_whatever_the_other_host_would_choose() -> None:
    here = running(domain("here", guest("here")))
    sent = ET.fromstring(
        moved(here, domain("there", guest("there", addresses=(), properties={"hw_rng_model": "virtio"})))
    )

    kind = sent.find("os/type")
    assert kind is not None
    assert kind.get("machine") == "pc-i440fx-7.2"
    assert [address.get("slot") for address in sent.iterfind("devices/disk/address")] == ["0x07", "0x07"]
    assert sent.find("devices/rng") is None
    assert [arg.get("value", "").split(",")[0] for arg in sent.iterfind("{*}commandline/{*}arg")] == [
        "-netdev", "user", "-device", "virtio-net-pci",
    ]  # fmt: skip
    assert sent.find("devices/channel/address") is not None


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (
            domain("there", guest("there", server_id="00000000-0000-4000-8000-000000000000")),
            "does not expect this guest",
        ),
        (domain("there", guest("there"), virt_type="kvm"), "is of type qemu, and the destination runs kvm"),
        (domain("there", guest("there"), disk=""), "no such disk vda"),
        (domain("there", guest("there"), config_drive="", ephemeral="/there/ephemeral"), "no such disk vdb"),
    ],
    ids=["another guest", "another hypervisor", "no disk", "a disk in the config drive's place"],
)
def test_a_guest_that_would_not_find_itself_there_does_not_go(there: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        moved(running(domain("here", guest("here"))), there)


def test_a_domain_of_somebody_else_has_no_owner(tmp_path: Path) -> None:
    assert owner_there("<domain><name>by-hand</name></domain>") is None


def test_the_wire_is_the_other_hosts_and_the_card_stays() -> None:
    sent = ET.fromstring(moved(running(wired("here")), wired("there")))

    assert [one.get("value") for one in netdevs(sent)] == [
        one.get("value") for one in netdevs(ET.fromstring(wired("there")))
    ]
    assert "/here" not in ET.tostring(sent, encoding="unicode")


def test_a_guest_does_not_change_its_kind_of_network_as_it_runs() -> None:
    with pytest.raises(Refused, match="network"):
        moved(running(wired("here")), domain("there", guest("there", addresses=(ADDRESS,))))


def wired(home: str) -> str:
    """The domain of a guest with a wire to its host."""
    machine = Machine(virt_type="qemu", emulator=f"/{home}/qemu", agent_directory=f"/{home}/agents")
    wire = LaidWire(mac=ADDRESS.mac, ip=ADDRESS.ip, subnet="10.0.0.0/16", directory=f"/{home}")
    paths = Paths(console=f"/{home}/console.log", disk=f"/{home}/disk", wire=wire)
    return build_domain(guest(home, addresses=(ADDRESS,)), paths, machine, Owner(host=home, directory=f"/{home}"))
