"""CreateTags, DeleteTags, DescribeTags. An instance's tags are its metadata, so the OpenStack API shows the same.

Sources: Amazon EC2 API Reference, nova/api/ec2/cloud.py (create_tags), which knew tags of instances alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from novaflow.errors import LimitExceeded, Missing
from services.api.ec2.errors import Ec2Error
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import IMAGE, NOUNS, SNAPSHOT, VOLUME
from services.api.ec2.images import numbered
from services.api.ec2.images import some_named as images_named
from services.api.ec2.instance_lookup import everyone, named
from services.api.ec2.instance_views import Instance
from services.api.ec2.paging import paged
from services.api.ec2.protocol import Params
from services.api.ec2.snapshots import some_named as snapshots_named
from services.api.ec2.tag_rules import MAX_TAGS, check_key, tags_of
from services.api.ec2.volume_views import show_snapshots, show_volumes
from services.api.ec2.volumes import some_named as volumes_named

_MAX_RESOURCES: Final = 1000
_TYPES: Final = {
    "i": "instance",
    "ami": "image",
    "aki": "image",
    "ari": "image",
    "vol": "volume",
    "snap": "snapshot",
}


@dataclass(frozen=True)
class Tag:
    """One tag of one resource."""

    resource: str
    key: str
    value: str

    @property
    def type(self) -> str:
        """What the resource is."""
        return _TYPES[self.resource.partition("-")[0]]


async def create_tags(api: Ec2Api, call: Call) -> Answer:
    """Give every resource named every tag, over those of the same keys. Raises TagLimitExceeded."""
    tags = tags_of(call.params)
    if not tags:
        raise Ec2Error("MissingParameter", "The request must contain the parameter Tag")
    instances, others = await _resources(api, call)
    try:
        for one in instances:
            await api.servers.add_metadata(call.context, one.server.id, tags)
        await api.tags.set(call.context.project_id, others, tags, MAX_TAGS)
    except LimitExceeded as error:
        raise Ec2Error("TagLimitExceeded", str(error)) from error
    return {"return": True}


async def delete_tags(api: Ec2Api, call: Call) -> Answer:
    """Take tags from every resource named: those named, a tag with a value only if that is its value, or all. None is no error."""
    wanted = _unwanted(call.params)
    instances, others = await _resources(api, call)
    for one in instances:
        unwanted = wanted if wanted is not None else dict.fromkeys(one.server.metadata)
        for key, value in unwanted.items():
            if key in one.server.metadata and value in (None, one.server.metadata[key]):
                await _remove(api, call, one, key)
    await api.tags.remove(call.context.project_id, others, wanted)
    return {"return": True}


async def describe_tags(api: Ec2Api, call: Call) -> Answer:
    """Every tag of what the project has, and of images that it sees."""
    found = [
        Tag(instance.id, key, value)
        for instance in await everyone(api, call)
        for key, value in instance.server.metadata.items()
    ]
    kept = await api.tags.of_project(call.context.project_id)
    there = await _there(api, call) if kept else ()
    found += [Tag(resource, key, value) for resource in there for key, value in kept.get(resource, {}).items()]
    tags = filtered(sorted(found, key=lambda tag: (tag.resource, tag.key)), call.params, _FIELDS)
    places = {tag: place for place, tag in enumerate(tags)}
    page, token = paged(tags, lambda tag: places[tag], call.params)
    shown = [{"resourceId": tag.resource, "resourceType": tag.type, "key": tag.key, "value": tag.value} for tag in page]
    return {"tagSet": shown, "nextToken": token}


def _unwanted(params: Params) -> dict[str, str | None] | None:
    """The tags to take away by key, with the value that they must have; None for all."""
    found: dict[str, str | None] = {}
    for tag in params.all_parts("Tag", most=MAX_TAGS):
        tag.only(("Key", "Value"))
        key = tag.text("Key")
        check_key(key)
        found[key] = tag.text("Value", "") if "Value" in tag else None
    return found or None


async def _resources(api: Ec2Api, call: Call) -> tuple[Sequence[Instance], Sequence[str]]:
    """The instances that are named, and the ids of what else is; raises InvalidID and what looking them up raises."""
    given = call.params.some_texts("ResourceId", most=_MAX_RESOURCES)
    instances = [one for one in given if one.startswith("i-")]
    others = await _others(api, call, [one for one in given if not one.startswith("i-")])
    return await named(api, call, instances) if instances else [], others


async def _others(api: Ec2Api, call: Call, given: Sequence[str]) -> list[str]:
    """Their ids as they are shown: one of 17 digits, or of another prefix, is the same thing's."""
    by_kind: dict[str, list[str]] = {noun.kind: [] for noun in NOUNS}
    for one in given:
        noun = next((noun for noun in NOUNS if one.partition("-")[0] in noun.prefixes), None)
        if noun is None:
            raise Ec2Error("InvalidID", f"The ID '{one[:64]}' is not valid")
        by_kind[noun.kind].append(one)
    volumes, snapshots, images = (by_kind[noun.kind] for noun in (VOLUME, SNAPSHOT, IMAGE))
    return [
        *(one.id for one in (await volumes_named(api, call, volumes) if volumes else ())),
        *(one.id for one in (await snapshots_named(api, call, snapshots) if snapshots else ())),
        *(one.id for one in await numbered(api, await images_named(api, call, images))),
    ]


async def _there(api: Ec2Api, call: Call) -> list[str]:
    """What there is that has its tags beside the cloud: of what is gone, at whichever door, they are not shown."""
    return [
        *(one.id for one in await show_volumes(api, call, await api.volumes.list(call.context))),
        *(one.id for one in await show_snapshots(api, call, await api.volume_snapshots.list(call.context))),
        *(one.id for one in await numbered(api, await api.images.list(call.context))),
    ]


async def _remove(api: Ec2Api, call: Call, instance: Instance, key: str) -> None:
    try:
        await api.servers.remove_metadata(call.context, instance.server.id, key)
    except Missing:
        return  # somebody else did, in the same moment


_FIELDS: Final[Mapping[str, Field[Tag]]] = {
    "key": lambda tag: [tag.key],
    "value": lambda tag: [tag.value],
    "resource-id": lambda tag: [tag.resource],
    "resource-type": lambda tag: [tag.type],
}

ACTIONS: Final = (
    Action("CreateTags", create_tags, takes=("ResourceId", "Tag")),
    Action("DeleteTags", delete_tags, takes=("ResourceId", "Tag")),
    Action("DescribeTags", describe_tags, takes=("Filter", "MaxResults", "NextToken")),
)
