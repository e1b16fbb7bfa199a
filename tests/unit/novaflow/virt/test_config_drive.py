import base64
import io
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pycdlib
import pytest

from novaflow.errors import Invalid
from novaflow.models import Address, BuildPlan, Ec2Names, InjectedFile
from novaflow.states import Power, Task, Vm
from novaflow.virt.config_drive import build_config_drive
from novaflow.virt.guest_facts import OPENSTACK_VERSIONS, GuestNetwork
from tests.support.plain_server import plain_server

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SEED = bytes(range(256)) * 2
ADDRESS = Address(network="private", ip="10.0.0.7", mac="fa:16:3e:00:00:07")
SERVER = plain_server(
    NOW,
    id="0a1b2c3d-0000-4000-8000-000000000001",
    name="Web <server>",
    hostname="web-server",
    image_id="11223344-0000-4000-8000-000000000002",
    vm=Vm.BUILDING,
    task=Task.SPAWNING,
    power=Power.NOSTATE,
    launched_at=None,
    key_name="mine",
    metadata={"role": "web"},
    availability_zone="nova",
    reservation_id="r-abcdefgh",
    launch_index=2,
)
SCRIPT = b"#!/bin/sh\necho hello"
PLAN = BuildPlan(
    server=SERVER,
    user_data=base64.b64encode(SCRIPT).decode(),
    files=(
        InjectedFile(path="/etc/motd", contents=base64.b64encode(b"welcome").decode()),
        InjectedFile(path="/etc/empty", contents=""),
    ),
    public_key="ssh-ed25519 AAAA me@here",
    ec2=Ec2Names(instance="i-0000002a", image="ami-00000007"),
)


def files_of(plan: BuildPlan = PLAN, **more: Any) -> dict[str, bytes]:
    """Every file of the config drive, by path."""
    arguments: dict[str, Any] = {"network": GuestNetwork(addresses=(ADDRESS,)), "made_at": NOW, "random_seed": SEED}
    image = build_config_drive(plan, **(arguments | more))
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    assert iso.pvd.volume_identifier.startswith(b"config-2")
    found = {}
    for directory, _, names in iso.walk(rr_path="/"):
        for name in names:
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, rr_path=f"{directory.rstrip('/')}/{name}")
            found[f"{directory}/{name}".strip("/")] = out.getvalue()
    iso.close()
    return found


def metadata(version: str, **more: Any) -> dict[str, Any]:
    return dict(json.loads(files_of(**more)[f"openstack/{version}/meta_data.json"]))


def test_the_layout_is_novas() -> None:
    found = set(files_of())

    assert {path.split("/")[1] for path in found if path.startswith("openstack")} == {
        "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27",
        "latest", "content",
    }  # fmt: skip
    assert {path for path in found if path.startswith("ec2")} == {
        f"ec2/{version}/{name}" for version in ("2009-04-04", "latest") for name in ("meta-data.json", "user-data")
    }


def test_metadata_says_who_the_server_is() -> None:
    assert metadata("latest", admin_password="secret") == {
        "uuid": SERVER.id,
        "name": "Web <server>",
        "hostname": "web-server.novalocal",
        "launch_index": 2,
        "availability_zone": "nova",
        "meta": {"role": "web"},
        "admin_pass": "secret",
        "public_keys": {"mine": "ssh-ed25519 AAAA me@here"},
        "keys": [{"name": "mine", "type": "ssh", "data": "ssh-ed25519 AAAA me@here"}],
        "files": [
            {"path": "/etc/motd", "content_path": "/content/0000"},
            {"path": "/etc/empty", "content_path": "/content/0001"},
        ],
        "random_seed": base64.b64encode(SEED).decode(),
        "project_id": "project",
        "devices": [],
    }


def test_a_version_tells_only_what_its_age_knew() -> None:
    found = files_of()
    since = {"vendor_data.json": "2013-10-17", "network_data.json": "2015-10-15", "vendor_data2.json": "2016-10-06"}

    for version in OPENSTACK_VERSIONS:
        facts = json.loads(found[f"openstack/{version}/meta_data.json"])
        assert ("random_seed" in facts) == (version >= "2013-04-04")
        assert ("project_id" in facts) == (version >= "2015-10-15")
        for name, first in since.items():
            assert (f"openstack/{version}/{name}" in found) == (version >= first)


def test_user_data_and_files_are_what_was_given() -> None:
    found = files_of()

    assert found["openstack/latest/user_data"] == SCRIPT
    assert found["ec2/2009-04-04/user-data"] == SCRIPT
    assert found["openstack/content/0000"] == b"welcome"
    assert found["openstack/content/0001"] == b""


def test_what_a_server_has_not_is_not_there() -> None:
    plain = msgspec.structs.replace(SERVER, key_name=None, metadata={})

    found = files_of(BuildPlan(server=plain), network=GuestNetwork())

    facts = json.loads(found["openstack/latest/meta_data.json"])
    assert not {"meta", "files", "admin_pass", "public_keys", "keys"} & set(facts)
    assert "openstack/latest/user_data" not in found
    assert "public-keys" not in json.loads(found["ec2/latest/meta-data.json"])


def test_ec2_metadata_has_ec2_ids() -> None:
    names = Ec2Names(instance="i-0000002a", image="ami-00000007", kernel="aki-00000008", ramdisk="ari-00000009")

    facts = json.loads(files_of(msgspec.structs.replace(PLAN, ec2=names))["ec2/latest/meta-data.json"])

    assert facts["instance-id"] == "i-0000002a"
    assert facts["ami-id"] == "ami-00000007"
    assert (facts["kernel-id"], facts["ramdisk-id"]) == ("aki-00000008", "ari-00000009")
    assert facts["local-hostname"] == "web-server.novalocal"
    assert facts["local-ipv4"] == "10.0.0.7"
    assert facts["public-keys"] == {"0": {"openssh-key": "ssh-ed25519 AAAA me@here"}}
    assert facts["instance-type"] == "m1.tiny"
    assert facts["placement"] == {"availability-zone": "nova"}
    assert (facts["reservation-id"], facts["ami-launch-index"]) == ("r-abcdefgh", 2)


def test_the_network_is_described_as_the_guest_will_find_it() -> None:
    network = GuestNetwork(addresses=(ADDRESS,), subnet="10.0.0.0/22")

    facts = json.loads(files_of(network=network)["openstack/latest/network_data.json"])

    (link,) = facts["links"]
    assert link["ethernet_mac_address"] == ADDRESS.mac
    assert facts["networks"] == [
        {
            "id": "network0",
            "type": "ipv4",
            "link": link["id"],
            "ip_address": "10.0.0.7",
            "netmask": "255.255.252.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"}],
            "network_id": "private",
        }
    ]


def test_equal_input_gives_equal_bytes() -> None:
    arguments: dict[str, Any] = {"network": GuestNetwork(), "made_at": NOW, "random_seed": SEED}

    assert build_config_drive(PLAN, **arguments) == build_config_drive(PLAN, **arguments)


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        (BuildPlan(server=SERVER, user_data="%%%"), "user_data"),
        (BuildPlan(server=SERVER, files=(InjectedFile(path="/etc/x", contents="a"),)), "/etc/x"),
    ],
)
def test_what_is_not_base64_is_refused_by_name(plan: BuildPlan, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        files_of(plan)
