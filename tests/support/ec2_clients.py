"""What a test asks of an EC2 client, whichever it is: the same words for boto3 of today and boto 2.27 of 2014.

Waiting is the client's own affair: boto3 has waiters, boto 2 asks again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

PATIENCE: Final = 150.0  # seconds; an emulated guest on a busy machine takes its time

Facts = dict[str, Any]


class Refused(Exception):
    """The cloud answered with an error."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(f"{code} ({status})")
        self.code = code
        self.status = status


class Ec2Client(Protocol):
    """One of them. Every method raises Refused."""

    def create_key(self, name: str) -> Facts:
        """A new key pair: its private half as `material` and its `fingerprint`."""
        ...

    def import_key(self, name: str, public: str) -> str:
        """A key pair of one's own; gives its fingerprint."""
        ...

    def keys(self) -> dict[str, str]:
        """The fingerprints of all key pairs by their names."""
        ...

    def delete_key(self, name: str) -> None:
        """Forget a key pair."""
        ...

    def images(self, **filters: str) -> list[Facts]:
        """One's own images: id, name, location, state."""
        ...

    def register(self, name: str, location: str) -> str:
        """Say what the image at a location is; gives its id."""
        ...

    def allocate(self) -> str:
        """An address; gives it. One that is asked for in the second of another's is signed alike, and asked for again."""
        ...

    def release(self, address: str) -> None:
        """Give an address back."""
        ...

    def run(self, image: str, count: int, *, key: str, kind: str, user_data: str) -> list[str]:
        """New instances; gives their ids."""
        ...

    def find(self, **filters: str) -> list[Facts]:
        """Instances: id, tags, key, state, address. A filter of a tag is `tag:NAME`."""
        ...

    def until(self, ids: Sequence[str], state: str) -> None:
        """Wait until all of these are running, stopped or terminated."""
        ...

    def tag(self, ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Give these tags to each."""
        ...

    def console(self, instance: str) -> str:
        """What an instance has written to its console."""
        ...

    def stop(self, ids: Sequence[str]) -> list[str]:
        """Stop these; gives the states that the answer names."""
        ...

    def start(self, ids: Sequence[str]) -> list[str]:
        """Start these, likewise."""
        ...

    def terminate(self, ids: Sequence[str]) -> list[str]:
        """End these, likewise."""
        ...

    def create_volume(self, size: int, snapshot: str = "") -> str:
        """A new volume of so many GiB in the first zone; gives its id."""
        ...

    def attach(self, volume: str, instance: str, device: str) -> str:
        """Order it; gives the state of the attachment."""
        ...

    def detach(self, volume: str) -> str:
        """Order it; gives the state of the attachment."""
        ...

    def attachment(self, volume: str) -> Facts:
        """Who has a volume: instance, device, state."""
        ...

    def until_volume(self, volume: str, state: str) -> None:
        """Wait until a volume is available or attached."""
        ...

    def snapshot(self, volume: str) -> str:
        """A snapshot, once it is completed; gives its id."""
        ...

    def delete_snapshot(self, snapshot: str) -> None:
        """Order it."""
        ...

    def delete_volume(self, volume: str) -> None:
        """Order it, and wait until it is gone."""
        ...

    def volumes(self) -> list[str]:
        """The ids of all volumes."""
        ...
