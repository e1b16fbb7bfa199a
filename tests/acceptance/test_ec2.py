"""The life of two instances as boto3 sees it, on a cloud as its user starts it, with the keys that `novaflow env --ec2` prints."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from boto3 import Session
from botocore.config import Config

from novaflow.lab.openstack import connect
from services.detached import admin, detached
from tests.acceptance.conftest import printed_environment
from tests.support.disks import qcow2

SOON: Final = {"Delay": 0.2, "MaxAttempts": 300}
USER_DATA: Final = "#!/bin/sh\necho hello\n"


@contextmanager
def client_of(state_dir: Path) -> Iterator[Any]:
    """boto3 with what the command tells a shell to export; a second call prints the same keys."""
    printed = printed_environment(state_dir, "--ec2")
    assert printed_environment(state_dir, "--ec2") == printed
    client = Session().client(
        "ec2",
        endpoint_url=printed["EC2_URL"],
        region_name=printed["AWS_DEFAULT_REGION"],
        aws_access_key_id=printed["EC2_ACCESS_KEY"],
        aws_secret_access_key=printed["EC2_SECRET_KEY"],
        config=Config(retries={"max_attempts": 0}),
    )
    try:
        yield client
    finally:
        client.close()


def live(ec2: Any) -> None:
    """Two instances from the first wish to the end, with boto3's own waiters."""
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["disk"]}])["Images"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "web"}]}]
    made = ec2.run_instances(
        ImageId=image["ImageId"],
        InstanceType="m1.tiny",
        MinCount=2,
        MaxCount=2,
        UserData=USER_DATA,
        TagSpecifications=tags,
    )
    ids = [instance["InstanceId"] for instance in made["Instances"]]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=SOON)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids, WaiterConfig=SOON)

    ec2.create_tags(Resources=ids[:1], Tags=[{"Key": "Name", "Value": "first"}])
    named = ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": ["f*"]}, {"Name": "instance-state-name", "Values": ["running"]}]
    )
    (found,) = (instance for one in named["Reservations"] for instance in one["Instances"])
    assert found["InstanceId"] == ids[0]
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {"role": "web", "Name": "first"}
    assert "ready" in ec2.get_console_output(InstanceId=ids[0])["Output"]

    ec2.stop_instances(InstanceIds=ids)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=ids, WaiterConfig=SOON)
    ec2.start_instances(InstanceIds=ids)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=SOON)
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=SOON)


async def test_two_instances_live_as_boto3_wants_it(state_dir: Path) -> None:
    async with detached(["--virt", "fake", "--port-base", "0"], state_dir) as config:
        async with connect(admin(config)) as cloud:
            await cloud.upload_image("disk", qcow2(), disk_format="qcow2", container_format="bare")
        with client_of(state_dir) as ec2:
            await asyncio.to_thread(live, ec2)
