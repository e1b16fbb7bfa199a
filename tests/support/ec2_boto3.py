"""boto3 as a client of `tests.support.ec2_clients`, with its own waiters and paginators."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from boto3 import Session
from botocore.exceptions import ClientError

from tests.support.ec2_clients import PATIENCE, Facts, Refused

_PAUSE: Final = 0.2  # seconds
_OFTEN: Final = {"Delay": _PAUSE, "MaxAttempts": int(PATIENCE / _PAUSE)}


class Boto3:
    """boto3 with what `novaflow env --ec2` prints. It may ask again by itself, and does so where that is expected alone."""

    def __init__(self, printed: Mapping[str, str]) -> None:
        self._ec2: Any = Session().client(
            "ec2",
            endpoint_url=printed["EC2_URL"],
            region_name=printed["AWS_DEFAULT_REGION"],
            aws_access_key_id=printed["EC2_ACCESS_KEY"],
            aws_secret_access_key=printed["EC2_SECRET_KEY"],
        )

    def close(self) -> None:
        """Close its connections."""
        self._ec2.close()

    def create_key(self, name: str) -> Facts:
        made = self._ask("create_key_pair", KeyName=name)
        return {"material": made["KeyMaterial"], "fingerprint": made["KeyFingerprint"]}

    def import_key(self, name: str, public: str) -> str:
        return str(self._ask("import_key_pair", KeyName=name, PublicKeyMaterial=public.encode())["KeyFingerprint"])

    def keys(self) -> dict[str, str]:
        return {key["KeyName"]: key["KeyFingerprint"] for key in self._ask("describe_key_pairs")["KeyPairs"]}

    def delete_key(self, name: str) -> None:
        self._ask("delete_key_pair", KeyName=name)

    def images(self, **filters: str) -> list[Facts]:
        found = self._ask("describe_images", Owners=["self"], Filters=_filters(filters))["Images"]
        return [
            {
                "id": image["ImageId"],
                "name": image["Name"],
                "location": image["ImageLocation"],
                "state": image["State"],
            }
            for image in found
        ]

    def register(self, name: str, location: str) -> str:
        registered = self._ask("register_image", Name=name, ImageLocation=location, Architecture="x86_64")
        return str(registered["ImageId"])

    def allocate(self) -> str:
        return str(self._answer("allocate_address")["PublicIp"])

    def release(self, address: str) -> None:
        self._ask("release_address", PublicIp=address)

    def run(self, image: str, count: int, *, key: str, kind: str, user_data: str) -> list[str]:
        counts = {"MinCount": count, "MaxCount": count}
        made = self._ask("run_instances", ImageId=image, KeyName=key, InstanceType=kind, UserData=user_data, **counts)
        return [instance["InstanceId"] for instance in made["Instances"]]

    def find(self, **filters: str) -> list[Facts]:
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=_filters(filters))
        return [
            {
                "id": one["InstanceId"],
                "tags": {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())},
                "key": one.get("KeyName"),
                "state": one["State"]["Name"],
                "address": one.get("PrivateIpAddress"),
            }
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        ]

    def until(self, ids: Sequence[str], state: str) -> None:
        self._wait(f"instance_{state}", InstanceIds=list(ids))
        if state == "running":
            self._wait("instance_status_ok", InstanceIds=list(ids))

    def tag(self, ids: Sequence[str], tags: Mapping[str, str]) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._ask("create_tags", Resources=list(ids), Tags=pairs)

    def console(self, instance: str) -> str:
        return str(self._ask("get_console_output", InstanceId=instance)["Output"])

    def stop(self, ids: Sequence[str]) -> list[str]:
        return _states(self._ask("stop_instances", InstanceIds=list(ids))["StoppingInstances"])

    def start(self, ids: Sequence[str]) -> list[str]:
        return _states(self._ask("start_instances", InstanceIds=list(ids))["StartingInstances"])

    def terminate(self, ids: Sequence[str]) -> list[str]:
        return _states(self._ask("terminate_instances", InstanceIds=list(ids))["TerminatingInstances"])

    def create_volume(self, size: int, snapshot: str = "") -> str:
        zone = self._ask("describe_availability_zones")["AvailabilityZones"][0]["ZoneName"]
        source = {"SnapshotId": snapshot} if snapshot else {}
        return str(self._ask("create_volume", Size=size, AvailabilityZone=zone, **source)["VolumeId"])

    def attach(self, volume: str, instance: str, device: str) -> str:
        return str(self._ask("attach_volume", VolumeId=volume, InstanceId=instance, Device=device)["State"])

    def detach(self, volume: str) -> str:
        return str(self._ask("detach_volume", VolumeId=volume)["State"])

    def attachment(self, volume: str) -> Facts:
        (found,) = self._ask("describe_volumes", VolumeIds=[volume])["Volumes"]
        (one,) = found["Attachments"]
        return {"instance": one["InstanceId"], "device": one["Device"], "state": one["State"]}

    def until_volume(self, volume: str, state: str) -> None:
        if state == "available":
            self._wait("volume_available", VolumeIds=[volume])
            return
        # A volume is in use from the order on. The waiter takes nothing found for not yet.
        self._wait("volume_in_use", Filters=_filters({"volume-id": volume, "attachment.status": state}))

    def snapshot(self, volume: str) -> str:
        made = str(self._ask("create_snapshot", VolumeId=volume)["SnapshotId"])
        self._wait("snapshot_completed", SnapshotIds=[made])
        return made

    def delete_snapshot(self, snapshot: str) -> None:
        self._ask("delete_snapshot", SnapshotId=snapshot)

    def delete_volume(self, volume: str) -> None:
        self._ask("delete_volume", VolumeId=volume)
        self._wait("volume_deleted", VolumeIds=[volume])

    def volumes(self) -> list[str]:
        return [volume["VolumeId"] for volume in self._ask("describe_volumes")["Volumes"]]

    def _ask(self, operation: str, **arguments: Any) -> Facts:
        answer = self._answer(operation, **arguments)
        assert answer["ResponseMetadata"]["RetryAttempts"] == 0, f"{operation} was asked again"
        return answer

    def _answer(self, operation: str, **arguments: Any) -> Facts:
        try:
            answer: Facts = getattr(self._ec2, operation)(**arguments)
        except ClientError as error:
            answer = error.response
            raise Refused(answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) from error
        return answer

    def _wait(self, waiter: str, **arguments: Any) -> None:
        self._ec2.get_waiter(waiter).wait(WaiterConfig=_OFTEN, **arguments)


def _filters(given: Mapping[str, str]) -> list[Facts]:
    return [{"Name": name, "Values": [value]} for name, value in given.items()]


def _states(changes: Sequence[Facts]) -> list[str]:
    return [change["CurrentState"]["Name"] for change in changes]
