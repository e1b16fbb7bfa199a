"""What is done with volumes and their snapshots, as a client orders it; and where they are on their way, read from the database.

A volume has no task: its way is its statuses, and that an order was accepted shows in its order's id. Every server of a volley may have a
volume, a snapshot of it, and a copy made of that, which are named after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from novaflow.lab.openstack import OpenStack
from novaflow.volumes import ENDINGS, Status
from tests.support.crashes import CrashingCloud

SIZE_GB: Final = 1
BOOT_VOLUMES: Final = 2  # of a server that is made with volumes
UNENDED: Final = " UNION ALL ".join(
    f"SELECT id FROM {table} WHERE status IN ({', '.join(repr(status.value) for status in ENDINGS)})"
    for table in ("volumes", "volume_snapshots")
)
_SEEN: Final = " UNION ALL ".join(
    f"SELECT id, name, status, order_id FROM {table} WHERE name LIKE '{{prefix}}-%'"
    for table in ("volumes", "volume_snapshots")
)
_VERSION: Final = {
    "OpenStack-API-Version": "compute 2.1",
    "X-OpenStack-Nova-API-Version": "2.1",
}  # volumes go with 2.36


@dataclass
class Things:
    """What one server of a volley has: the ids of its volume and snapshot, by what they are called."""

    owner: str  # the server's name
    server_id: str = ""
    volume_id: str = ""
    snapshot_id: str = ""

    def called(self, thing: str) -> str:
        """The name of its volume, snapshot or copy."""
        return f"{self.owner}-{thing}"


@dataclass(frozen=True)
class VolumeAction:
    """`of` is what changes (volume, snapshot or copy), `ways` the statuses on the way; where it `ends` is the last of them that stays."""

    name: str
    of: str
    way: tuple[Status, ...]
    ends: Status
    event: None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Sight:
    """Where a volume or a snapshot is now."""

    id: str
    status: Status
    order_id: str

    @property
    def is_idle(self) -> bool:
        """Nothing is being done to it."""
        return self.status not in ENDINGS


# fmt: off
VOLUME_ACTIONS: Final = (
    VolumeAction("create volume",   "volume",   (),                  Status.AVAILABLE),  # it is a row until a server gets it
    VolumeAction("attach volume",   "volume",   (Status.ATTACHING,), Status.IN_USE),
    VolumeAction("detach volume",   "volume",   (Status.DETACHING,), Status.AVAILABLE),
    VolumeAction("delete volume",   "volume",   (Status.DELETING,),  Status.DELETED),
    VolumeAction("snapshot volume", "snapshot", (Status.CREATING,),  Status.AVAILABLE),
    VolumeAction("delete snapshot", "snapshot", (Status.DELETING,),  Status.DELETED),
    VolumeAction("copy volume",     "copy",     (Status.CREATING,),  Status.AVAILABLE),
)
# fmt: on


async def sights(cloud: CrashingCloud, prefix: str) -> dict[str, Sight]:
    """All volumes and snapshots of servers whose names begin so, by name; deleted ones too."""
    rows = await cloud.rows(_SEEN.format(prefix=prefix))
    return {row[1]: Sight(row[0], Status(row[2]), row[3]) for row in rows}


async def order_volume(client: OpenStack, action: VolumeAction, things: Things) -> None:
    """Order it; raises ApiError. What is made is noted in `things`."""
    at, volume_id, snapshot_id = client.compute, things.volume_id, things.snapshot_id
    attachments = f"{at}/servers/{things.server_id}/os-volume_attachments"
    match action.name:
        case "create volume":
            things.volume_id = await _made(client, "volume", {"size": SIZE_GB}, things.called("volume"))
        case "copy volume":
            await _made(client, "volume", {"snapshot_id": snapshot_id}, things.called("copy"))
        case "snapshot volume":
            asked = {"volume_id": volume_id, "force": True}
            things.snapshot_id = await _made(client, "snapshot", asked, things.called("snapshot"))
        case "attach volume":
            await _ask(client, "POST", attachments, {"volumeAttachment": {"volumeId": volume_id}})
        case "detach volume":
            await _ask(client, "DELETE", f"{attachments}/{volume_id}")
        case "delete volume":
            await _ask(client, "DELETE", f"{at}/os-volumes/{volume_id}")
        case "delete snapshot":
            await _ask(client, "DELETE", f"{at}/os-snapshots/{snapshot_id}")


def boot_devices(image: str, things: Things) -> list[dict[str, Any]]:
    """What a server has from its first boot: its image, the volume that is there, and a new one that ends with it."""
    new = {"source_type": "blank", "volume_size": SIZE_GB, "delete_on_termination": True}
    return [
        {"uuid": image, "source_type": "image", "destination_type": "local", "boot_index": 0},
        {"uuid": things.volume_id, "source_type": "volume", "destination_type": "volume"},
        {**new, "destination_type": "volume"},
    ]


async def delete_thing(client: OpenStack, thing_id: str) -> None:
    """Have a volume or a snapshot gone, if it is one and may be deleted now."""
    for kind in ("os-volumes", "os-snapshots"):
        await _ask(client, "DELETE", f"{client.compute}/{kind}/{thing_id}", accept=(202, 204, 400, 404, 409, 503))


async def _made(client: OpenStack, kind: str, asked: Mapping[str, object], name: str) -> str:
    answer = await _ask(client, "POST", f"{client.compute}/os-{kind}s", {kind: {**asked, "display_name": name}})
    return str(answer[kind]["id"])


async def _ask(client: OpenStack, method: str, url: str, body: object = None, **more: Any) -> Any:
    return await client.ask(method, url, json=body, headers=_VERSION, **more)
