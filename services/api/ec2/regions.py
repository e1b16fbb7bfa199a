"""The regions and zones of the cloud: there is one region, and it is where the client is already."""

from collections.abc import Mapping
from typing import Final

from novaflow.operations.services import Zone
from services.api.ec2.errors import Ec2Error
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.xml import Tree

_OPTED_IN: Final = "opt-in-not-required"


async def describe_regions(api: Ec2Api, call: Call) -> Answer:
    """The one region, with the address that the client used."""
    region = api.config.identity.region
    for name in call.params.texts("RegionName"):
        if name != region:
            raise Ec2Error("InvalidParameterValue", f"Invalid region provided: {name[:64]}")
    shown = {"regionName": region, "regionEndpoint": call.url, "optInStatus": _OPTED_IN}
    return {"regionInfo": filtered([shown], call.params, _REGION_FIELDS)}


async def describe_availability_zones(api: Ec2Api, call: Call) -> Answer:
    """The zones that instances can be put into; raises InvalidParameterValue for a name that is none."""
    region = api.config.identity.region
    zones = list(await api.services.zones())
    if names := call.params.texts("ZoneName"):
        known = {zone.name for zone in zones}
        for name in names:
            if name not in known:
                raise Ec2Error("InvalidParameterValue", f"Invalid availability zone: [{name[:64]}]")
        zones = [zone for zone in zones if zone.name in names]
    fields = {**_ZONE_FIELDS, "region-name": lambda _: [region]}
    return {"availabilityZoneInfo": [_zone(zone, region) for zone in filtered(zones, call.params, fields)]}


def _zone(zone: Zone, region: str) -> Tree:
    return {
        "zoneName": zone.name,
        "zoneState": _state(zone),
        "regionName": region,
        "messageSet": [],
        "optInStatus": _OPTED_IN,
        "zoneType": "availability-zone",
    }


def _state(zone: Zone) -> str:
    return "available" if zone.is_available else "unavailable"


_REGION_FIELDS: Final[Mapping[str, Field[Mapping[str, str]]]] = {
    "region-name": lambda one: [one["regionName"]],
    "endpoint": lambda one: [one["regionEndpoint"]],
    "opt-in-status": lambda one: [one["optInStatus"]],
}
_ZONE_FIELDS: Final[Mapping[str, Field[Zone]]] = {
    "zone-name": lambda zone: [zone.name],
    "state": lambda zone: [_state(zone)],
    "zone-type": lambda _: ["availability-zone"],
    "opt-in-status": lambda _: [_OPTED_IN],
}

ACTIONS: Final = (
    Action("DescribeRegions", describe_regions, takes=("RegionName", "Filter", "AllRegions")),
    Action(
        "DescribeAvailabilityZones",
        describe_availability_zones,
        takes=("ZoneName", "Filter", "AllAvailabilityZones"),
    ),
)
