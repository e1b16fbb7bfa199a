"""CreateSnapshot, DeleteSnapshot, DescribeSnapshots.

Sources: Amazon EC2 API Reference, nova/api/ec2/cloud.py.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from novaflow.errors import Invalid, NotFound
from services.api.ec2.errors import Ec2Error
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import SNAPSHOT, VOLUME, resolve
from services.api.ec2.paging import paged
from services.api.ec2.tag_rules import MAX_TAGS
from services.api.ec2.volume_views import ShownSnapshot, show_snapshots, snapshot_view, tags_asked
from services.api.ec2.xml import moment

_LONGEST_DESCRIPTION: Final = 255
_SELF: Final = "self"


async def create_snapshot(api: Ec2Api, call: Call) -> Answer:
    """Keep what is on a volume now, whether an instance has it or not."""
    given = call.params.text("VolumeId")
    description = call.params.text("Description", "")
    if len(description) > _LONGEST_DESCRIPTION:
        raise Ec2Error("InvalidParameterValue", f"A description has at most {_LONGEST_DESCRIPTION} characters.")
    tags = tags_asked(call.params, "snapshot")
    volume_id = (await resolve(api.ids, VOLUME, [given]))[given]
    if volume_id not in {volume.id for volume in await api.volumes.list(call.context)}:
        raise VOLUME.missing([given])
    try:
        made = await api.volume_snapshots.create(call.context, volume_id, description=description, may_be_in_use=True)
    except NotFound:
        raise VOLUME.missing([given]) from None
    except Invalid as error:
        raise Ec2Error("IncorrectState", str(error)) from error
    if tags:
        (one,) = await show_snapshots(api, call, [made])
        await api.tags.set(call.context.project_id, [one.id], tags, MAX_TAGS)
    (one,) = await show_snapshots(api, call, [made])
    return snapshot_view(one)


async def delete_snapshot(api: Ec2Api, call: Call) -> Answer:
    """Remove a snapshot; volumes made of it stay."""
    one = await one_named(api, call, call.params.text("SnapshotId"))
    try:
        await api.volume_snapshots.delete(call.context, one.snapshot.id)
    except Invalid as error:
        raise Ec2Error("IncorrectState", str(error)) from error
    await api.tags.remove(call.context.project_id, [one.id], None)
    return {"return": True}


async def describe_snapshots(api: Ec2Api, call: Call) -> Answer:
    """The project's snapshots, or those named. Nobody sees another's, so only one's own can be asked for by their owner."""
    given = call.params.texts("SnapshotId")
    found = await some_named(api, call, given) if given else await _all(api, call)
    for parameter in ("Owner", "RestorableBy"):
        owners = call.params.texts(parameter)
        if owners and not {_SELF, call.context.project_id} & set(owners):
            found = []
    fitting = filtered(found, call.params, _FIELDS, lambda one: one.tags)
    page, token = paged(fitting, lambda one: one.number, call.params)
    return {"snapshotSet": [snapshot_view(one) for one in page], "nextToken": token}


async def one_named(api: Ec2Api, call: Call, given: str) -> ShownSnapshot:
    """The project's snapshot by this id; raises InvalidSnapshotID.Malformed, InvalidSnapshot.NotFound."""
    return (await some_named(api, call, [given]))[0]


async def _all(api: Ec2Api, call: Call) -> list[ShownSnapshot]:
    return await show_snapshots(api, call, await api.volume_snapshots.list(call.context))


async def some_named(api: Ec2Api, call: Call, given: Sequence[str]) -> list[ShownSnapshot]:
    """The project's snapshots by these ids, each once; raises InvalidSnapshotID.Malformed, InvalidSnapshot.NotFound."""
    resources = await resolve(api.ids, SNAPSHOT, given)
    mine = {snapshot.id: snapshot for snapshot in await api.volume_snapshots.list(call.context)}
    if missing := [one for one in given if resources[one] not in mine]:
        raise SNAPSHOT.missing(missing)
    return await show_snapshots(api, call, [mine[one] for one in dict.fromkeys(resources.values())])


_FIELDS: Final[Mapping[str, Field[ShownSnapshot]]] = {
    "snapshot-id": lambda one: [one.id],
    "volume-id": lambda one: [one.volume],
    "status": lambda one: [one.state],
    "volume-size": lambda one: [str(one.snapshot.size_gb)],
    "description": lambda one: [one.snapshot.description],
    "owner-id": lambda one: [one.snapshot.project_id],
    "progress": lambda one: [one.progress],
    "start-time": lambda one: [moment(one.snapshot.created_at)],
    "encrypted": lambda _: ["false"],
}

ACTIONS: Final = (
    Action("CreateSnapshot", create_snapshot, takes=("VolumeId", "Description", "TagSpecification")),
    Action("DeleteSnapshot", delete_snapshot, takes=("SnapshotId",)),
    Action(
        "DescribeSnapshots",
        describe_snapshots,
        takes=("SnapshotId", "Owner", "RestorableBy", "Filter", "MaxResults", "NextToken"),
    ),
)
