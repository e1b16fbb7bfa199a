"""The crash matrix's own eyes: a cloud that is well is let pass, and each thing that may not be is seen."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from novaflow.images.image import Status
from novaflow.models import Flavor
from novaflow.states import Power, Task, Vm
from novaflow.tasks import TaskParams
from novaflow.virt.driver import StoredVolume
from novaflow.virt.fake import FakeGuest
from novaflow.virt.fake.guest import Rescue
from novaflow.volumes import Status as Stored
from tests.crash_matrix.cloud import DESTINATION, SOURCE
from tests.crash_matrix.judging import problems
from tests.crash_matrix.world import HostDisk, World

SMALL = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)
LARGE = Flavor(id="2", name="m1.small", vcpus=2, ram_mb=2048, disk_gb=1)
EMPTY = HostDisk(guests={}, parked=(), files=())


def row(**columns: Any) -> Any:
    return SimpleNamespace(**columns)


def server(**more: Any) -> Any:
    usual: dict[str, Any] = {
        "id": "s",
        "name": "s",
        "vm": Vm.ACTIVE,
        "task": Task.IDLE,
        "task_id": None,
        "power": Power.RUNNING,
        "host": SOURCE,
        "vcpus": 1,
        "ram_mb": 512,
        "disk_gb": 1,
        "project_id": "p",
        "user_id": "u",
    }
    return row(**usual | more)


def guest(**more: Any) -> FakeGuest:
    usual: dict[str, Any] = {
        "server_id": "s",
        "name": "s",
        "hostname": "s",
        "power": Power.RUNNING,
        "vcpus": 1,
        "ram_mb": 512,
    }
    return FakeGuest(**usual | more)


def disk(**guests: FakeGuest) -> HostDisk:
    return HostDisk(guests=guests, parked=(), files=[f"guests/{server_id}.json" for server_id in guests])


def parked(host: HostDisk) -> HostDisk:
    return HostDisk(guests=host.guests, parked=("s",), files=[*host.files, "parked/s.json", "parked/s/disk"])


def host(name: str, count: int, **more: Any) -> Any:
    usual: dict[str, Any] = {"vcpus_used": count, "ram_mb_used": 512 * count, "disk_gb_used": count, "servers": count}
    return row(name=name, **usual | more)


def usage(user: str, **more: Any) -> Any:
    return row(project_id="p", user_id=user, **{"instances": 1, "cores": 1, "ram": 512} | more)


def task(action: str, state: str = "done", image: str = "") -> Any:
    return row(id="t", server_id="s", action=action, state=state, params=TaskParams(image_id=image))


def image(image_id: str, status: Status = Status.ACTIVE) -> Mapping[str, Any]:
    return {image_id: row(id=image_id, name="snapshot", status=status)}


def move(status: str, **more: Any) -> Any:
    usual: dict[str, Any] = {
        "id": 1,
        "server_id": "s",
        "type": "resize",
        "status": status,
        "claim_host": SOURCE,
        "claim_vcpus": 1,
        "claim_ram_mb": 512,
        "claim_disk_gb": 1,
        "old_flavor": SMALL,
        "new_flavor": LARGE,
    }
    return row(**usual | more)


WELL = World(
    servers={"s": server()},
    tasks=[task("create")],
    migrations=[],
    hosts=[host(DESTINATION, 0), host(SOURCE, 1)],
    usages=[usage(""), usage("u")],
    addressed=frozenset({"s"}),
    images={},
    made_of={},
    disks={SOURCE: disk(s=guest()), DESTINATION: EMPTY},
    stored=frozenset(),
)
RESIZED = replace(
    WELL,
    servers={"s": server(vm=Vm.RESIZED, host=DESTINATION, vcpus=2, ram_mb=2048)},
    migrations=[move("finished")],
    hosts=[host(DESTINATION, 1, vcpus_used=2, ram_mb_used=2048), host(SOURCE, 1)],
    usages=[usage("", cores=2, ram=2048), usage("u", cores=2, ram=2048)],
    disks={SOURCE: parked(EMPTY), DESTINATION: disk(s=guest(vcpus=2, ram_mb=2048))},
)
OFFLOADED = replace(
    WELL,
    servers={"s": server(vm=Vm.SHELVED_OFFLOADED, host=None, power=Power.NOSTATE)},
    tasks=[task("shelve", image="i")],
    hosts=[host(DESTINATION, 0), host(SOURCE, 0)],
    images=image("i"),
    made_of={"i": "s"},
    disks={SOURCE: EMPTY, DESTINATION: EMPTY},
    stored=frozenset({"i"}),
)


def volume(**more: Any) -> Any:
    usual: dict[str, Any] = {
        "id": "v",
        "name": "s-volume",
        "status": Stored.IN_USE,
        "is_deleted": False,
        "host": SOURCE,
        "server_id": "s",
        "device": "vdb",
        "order_id": "o",
        "fault": "",
    }
    return row(**usual | more)


def with_volume(disk: HostDisk, **note: str) -> HostDisk:
    """It has the volume's file, and a note of whose it is."""
    files = [*disk.files, "volumes/v/disk", *(["volumes/v/attached.json"] if note else [])]
    return replace(disk, files=files, volumes={"v": StoredVolume(volume_id="v", **note)})


HELD = replace(
    WELL,
    volumes={"v": volume()},
    snapshots={"c": volume(id="c", name="s-snapshot", status=Stored.AVAILABLE)},
    disks={
        SOURCE: replace(
            with_volume(WELL.disks[SOURCE], server_id="s", device="vdb"),
            snapshots=("c",),
            files=[
                *with_volume(WELL.disks[SOURCE], server_id="s", device="vdb").files,
                "volume_snapshots/c",
            ],
        ),
        DESTINATION: EMPTY,
    },
)
FREE = replace(
    WELL,
    volumes={"v": volume(status=Stored.AVAILABLE, server_id=None, device="")},
    disks={**WELL.disks, SOURCE: with_volume(WELL.disks[SOURCE])},
)
NOWHERE = replace(WELL, volumes={"v": volume(status=Stored.AVAILABLE, server_id=None, device="", host=None)})


@pytest.mark.parametrize(
    "world",
    [WELL, RESIZED, OFFLOADED, HELD, FREE, NOWHERE],
    ids=["active", "resized", "offloaded", "with a volume", "beside a volume", "beside a volume of no host"],
)
def test_a_cloud_that_is_well_has_no_problems(world: World) -> None:
    assert problems(world) == []


# fmt: off
WRONG: Final = (
    ("stuck",        lambda: replace(WELL, servers={"s": server(task=Task.POWERING_OFF)})),
    ("stuck",        lambda: replace(WELL, servers={"s": server(task_id="t")})),
    ("stuck",        lambda: replace(WELL, servers={"s": server(vm=Vm.BUILDING)})),
    ("stuck",        lambda: replace(WELL, tasks=[task("stop", "running")])),
    ("double",       lambda: replace(WELL, disks={SOURCE: disk(s=guest()), DESTINATION: disk(s=guest())})),
    ("orphan",       lambda: replace(WELL, disks={SOURCE: disk(s=guest(), x=guest()), DESTINATION: EMPTY})),
    ("orphan",       lambda: replace(WELL, disks={SOURCE: parked(disk(s=guest())), DESTINATION: EMPTY})),
    ("orphan",       lambda: replace(WELL, disks={**WELL.disks, DESTINATION: replace(EMPTY, files=["snapshots/t"])})),
    ("orphan",       lambda: replace(WELL, disks={**WELL.disks, DESTINATION: replace(EMPTY, files=["incoming/s.json"])})),
    ("orphan",       lambda: replace(WELL, stored=frozenset({"uploads/x"}))),
    ("orphan",       lambda: replace(WELL, migrations=[move("migrating", claim_host=None)])),
    ("orphan",       lambda: replace(WELL, migrations=[move("confirmed")])),
    ("orphan",       lambda: replace(WELL, addressed=frozenset({"s", "gone"}))),
    ("orphan",       lambda: replace(WELL, images=image("i", Status.QUEUED), made_of={"i": "s"})),
    ("orphan",       lambda: replace(WELL, images=image("i"), made_of={"i": "s"}, tasks=[task("shelve", image="i")])),
    ("disagreement", lambda: replace(WELL, images=image("i", Status.SAVING), made_of={"i": "s"},
                                     tasks=[task("createImage", image="i")])),
    ("disagreement", lambda: replace(OFFLOADED, images={}, stored=frozenset())),
    ("disagreement", lambda: replace(OFFLOADED, servers={"s": server(vm=Vm.SHELVED_OFFLOADED)})),
    ("disagreement", lambda: replace(WELL, disks={SOURCE: EMPTY, DESTINATION: EMPTY})),
    ("disagreement", lambda: replace(RESIZED, disks={**RESIZED.disks, SOURCE: EMPTY})),
    ("disagreement", lambda: replace(WELL, servers={"s": server(power=Power.SHUTDOWN)})),
    ("disagreement", lambda: replace(WELL, servers={"s": server(vm=Vm.STOPPED)})),
    ("disagreement", lambda: replace(WELL, disks={**WELL.disks, SOURCE: disk(s=guest(rescue=Rescue(hostname="r")))})),
    ("disagreement", lambda: replace(WELL, disks={**WELL.disks, SOURCE: disk(s=guest(ram_mb=2048))})),
    ("stuck",        lambda: replace(HELD, volumes={"v": volume(status=Stored.DETACHING)})),
    ("stuck",        lambda: replace(HELD, volumes={"v": volume(status=Stored.RESERVED)})),
    ("stuck",        lambda: replace(HELD, snapshots={"c": volume(id="c", status=Stored.CREATING)})),
    ("orphan",       lambda: replace(HELD, volumes={})),
    ("orphan",       lambda: replace(HELD, volumes={"v": volume(is_deleted=True, status=Stored.DELETED)})),
    ("orphan",       lambda: replace(HELD, snapshots={})),
    ("orphan",       lambda: replace(HELD, disks={**HELD.disks, DESTINATION: with_volume(EMPTY)})),
    ("orphan",       lambda: replace(WELL, disks={**WELL.disks, DESTINATION: replace(EMPTY, files=["volume_snapshots/c.part"])})),
    ("orphan",       lambda: replace(FREE, disks={**FREE.disks, SOURCE: replace(FREE.disks[SOURCE],
                                     files=[*FREE.disks[SOURCE].files, "volumes/v/attached.json.new"])})),
    ("disagreement", lambda: replace(HELD, disks=WELL.disks)),
    ("disagreement", lambda: replace(FREE, disks=WELL.disks)),
    ("disagreement", lambda: replace(FREE, disks=HELD.disks)),
    ("disagreement", lambda: replace(HELD, disks=FREE.disks)),
    ("disagreement", lambda: replace(HELD, volumes={"v": volume(device="vdc")})),
    ("disagreement", lambda: replace(HELD, volumes={"v": volume(server_id="t")})),
    ("disagreement", lambda: replace(FREE, volumes={"v": volume(status=Stored.AVAILABLE, device="")})),
    ("drift",        lambda: replace(WELL, hosts=[host(DESTINATION, 1), host(SOURCE, 1)])),
    ("drift",        lambda: replace(RESIZED, hosts=[host(DESTINATION, 1, vcpus_used=2, ram_mb_used=2048), host(SOURCE, 0)])),
    ("drift",        lambda: replace(WELL, usages=[usage(""), usage("u", instances=2)])),
    ("drift",        lambda: replace(RESIZED, usages=[usage(""), usage("u", cores=2, ram=2048)])),
)
# fmt: on


@pytest.mark.parametrize(("kind", "change"), WRONG)
def test_what_may_not_be_is_seen(kind: str, change: Callable[[], World]) -> None:
    assert kind in {problem.kind for problem in problems(change())}
