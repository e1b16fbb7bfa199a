"""The regions of the cloud: there is one, and it is where the client is already."""

from typing import Final

from services.api.ec2.errors import Ec2Error
from services.api.ec2.frame import Action, Answer, Call, Ec2Api


async def describe_regions(api: Ec2Api, call: Call) -> Answer:
    """The one region, with the address that the client used."""
    region = api.config.identity.region
    for name in call.params.texts("RegionName"):
        if name != region:
            raise Ec2Error("InvalidParameterValue", f"Invalid region provided: {name}")
    shown = {"regionName": region, "regionEndpoint": call.url, "optInStatus": "opt-in-not-required"}
    return {"regionInfo": [shown]}


ACTIONS: Final = (Action("DescribeRegions", describe_regions, takes=("RegionName", "Filter", "AllRegions")),)
