"""RunInstances with what clients say without need: taken where it is so anyway, refused where it would be passed over."""

from pathlib import Path
from typing import Any

import pytest

from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from tests.support.ec2_door import ec2_door
from tests.support.server_world import IMAGE, server_world

PLAIN: dict[str, Any] = {
    "DisableApiTermination": False,
    "EbsOptimized": False,
    "InstanceInitiatedShutdownBehavior": "stop",
}


@pytest.mark.parametrize(
    "other",
    [{"DisableApiTermination": True}, {"EbsOptimized": True}, {"InstanceInitiatedShutdownBehavior": "terminate"}],
)
async def test_an_instance_may_be_asked_to_be_as_all_are_and_not_otherwise(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    async with server_world(tmp_path) as world, ec2_door(world.api) as door:
        image = f"ami-{await Ec2Ids(world.api.database).number(ec2_ids.IMAGE, IMAGE):08x}"
        asked: dict[str, Any] = {"ImageId": image, "InstanceType": "m1.tiny", "MinCount": 1, "MaxCount": 1}

        made = await door.ask("run_instances", **asked, **PLAIN)
        refused = await door.refusal("run_instances", **asked, **{**PLAIN, **other})

        assert len(made["Instances"]) == 1
        assert refused == ("UnsupportedOperation", 400)
        (shown,) = (await door.ask("describe_instances"))["Reservations"]
        assert shown["ReservationId"] == made["ReservationId"]
