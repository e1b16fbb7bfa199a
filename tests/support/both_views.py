"""What the Compute API and the EC2 API show of the same servers at one moment, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from novaflow.states import Power, Task, Vm
from novaflow.states import state_of as state_named
from services.api.ec2.instance_states import InstanceState, state_from

Shown = Mapping[str, Any]


@dataclass(frozen=True)
class Sight:
    """All servers, with those that are deleted, and all reservations; `names` are EC2's by the ids of the cloud."""

    servers: Sequence[Shown]
    reservations: Sequence[Shown]
    attached: Mapping[str, Sequence[Shown]]  # volumes, by server
    names: Mapping[str, str]
    flavors: Mapping[str, str]  # their names by id


def disagreements(sight: Sight) -> list[str]:
    """What one door says and the other denies."""
    servers = {sight.names[server["id"]]: server for server in sight.servers}
    instances = {one["InstanceId"]: (one, group) for group in sight.reservations for one in group["Instances"]}
    found = [f"{one} is at one door only" for one in sorted(servers.keys() ^ instances.keys())]
    for one in sorted(servers.keys() & instances.keys()):
        here = f"{one} in {servers[one]['OS-EXT-STS:vm_state']}/{servers[one]['OS-EXT-STS:task_state']}"
        for fact, said, denied in _compared(sight, servers[one], *instances[one]):
            if said != denied:
                found.append(f"{here}: {fact} is {said!r} and {denied!r}")
    return found


def _compared(sight: Sight, server: Shown, instance: Shown, reservation: Shown) -> Iterator[tuple[str, object, object]]:
    """Fact by fact what the Compute API says, in EC2's words, and what EC2 says."""
    vm, task = server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:task_state"]
    yield "status", state_named(vm, task).status, server["status"]
    yield "state", expected(server).value, (instance["State"]["Code"], instance["State"]["Name"])
    yield "owner", server["tenant_id"], reservation["OwnerId"]
    yield "image", sight.names[server["image"]["id"]], instance["ImageId"]
    yield "type", sight.flavors[server["flavor"]["id"]], instance["InstanceType"]
    yield "key", server["key_name"], instance.get("KeyName")
    yield "tags", server["metadata"], {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
    yield "zone", server["OS-EXT-AZ:availability_zone"], instance["Placement"]["AvailabilityZone"]
    yield "launch", _moment(server["OS-SRV-USG:launched_at"] or server["created"]), _whole(instance["LaunchTime"])
    if vm == Vm.ERROR.value:
        said = server["fault"]["message"] if "fault" in server else "The instance is in error."
        yield "fault", f"Server.InternalError: {said}", instance["StateReason"]["Message"]
    groups = sorted(group["name"] for group in server.get("security_groups", ()))
    yield "groups", groups, sorted(group["GroupName"] for group in instance["SecurityGroups"])
    found = [address for network in server["addresses"].values() for address in network if address["version"] == 4]
    for kind, name in (("fixed", "PrivateIpAddress"), ("floating", "PublicIpAddress")):
        addresses = [one["addr"] for one in found if one["OS-EXT-IPS:type"] == kind]
        yield f"{kind} address", addresses, [instance[name]] if name in instance else []
    volumes = {sight.names[one["volumeId"]]: one["device"] for one in sight.attached.get(server["id"], ())}
    disks = {one["Ebs"]["VolumeId"]: one["DeviceName"] for one in instance.get("BlockDeviceMappings", ())}
    yield "volumes", volumes, disks


def expected(server: Shown) -> InstanceState:
    """What the server is in EC2's words, by the table."""
    vm, task = server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:task_state"]
    state = state_named(vm, task)
    if (
        state.vm is Vm.RESIZED
        and state.task is not Task.DELETING
        and server["OS-EXT-STS:power_state"] == Power.SHUTDOWN
    ):
        return InstanceState.STOPPED
    launched = server["OS-SRV-USG:launched_at"]
    return state_from(state.vm, state.task, _moment(launched) if launched else None)


def _moment(text: str) -> datetime:
    """A time as the Compute API writes it."""
    found = datetime.fromisoformat(text)
    return _whole(found if found.tzinfo else found.replace(tzinfo=UTC))


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
