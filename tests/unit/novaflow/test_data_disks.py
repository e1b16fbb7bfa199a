import pytest

from novaflow.data_disks import NewDisk, device_name, named
from novaflow.errors import Invalid
from novaflow.models import Flavor

SMALL = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=64, disk_gb=1)
RICH = Flavor(id="2", name="m1.rich", vcpus=1, ram_mb=64, disk_gb=1, ephemeral_gb=1, swap_mb=64)


def disk(device: str = "") -> NewDisk:
    return NewDisk(volume_id="", is_new=True, device=device, size_gb=1)


@pytest.mark.parametrize(
    ("flavor", "wanted", "given"),
    [
        (SMALL, ["", ""], ["vdc", "vdd"]),  # after the root and the config drive
        (RICH, ["", ""], ["vde", "vdf"]),
        (SMALL, ["vdh", "", "vdc"], ["vdh", "vdd", "vdc"]),
        (SMALL, ["vdb", ""], ["vdc", "vdd"]),  # that is the config drive
        (RICH, ["vdd", "vde"], ["vdf", "vde"]),
        (SMALL, [], []),
    ],
)
def test_disks_have_the_names_that_were_wanted_where_they_are_free(
    flavor: Flavor, wanted: list[str], given: list[str]
) -> None:
    assert [one.device for one in named([disk(device) for device in wanted], flavor)] == given


def test_no_two_disks_have_one_name() -> None:
    with pytest.raises(Invalid, match="/dev/vdf"):
        named([disk("vdf"), disk("vdf")], SMALL)


def test_there_are_as_many_disks_as_letters() -> None:
    assert named([disk()] * 24, SMALL)[-1].device == "vdz"
    with pytest.raises(Invalid, match="has no room for 25 more disks"):
        named([disk()] * 25, SMALL)


def test_a_device_may_be_written_as_any_system_does() -> None:
    assert {device_name(said) for said in ("/dev/sdh", "vdh", "/dev/xvdh", "hdh")} == {"vdh"}
    assert device_name(None) == device_name("") == ""
    for wrong in ("/dev/vda", "/dev/vd1", "x", "/dev/../vdb"):
        with pytest.raises(Invalid, match="is invalid"):
            device_name(wrong)
