"""Ids as EC2 writes them: `i-0000002a`, of 8 hexadecimal digits or, as newer clients may write them, of 17."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_ids import shown as shown
from services.api.ec2.errors import Ec2Error

_DIGITS: Final = re.compile(r"[0-9a-f]{8}|[0-9a-f]{17}", re.ASCII)
_LARGEST: Final = 2**31 - 1  # that the database numbers


@dataclass(frozen=True)
class Noun:
    """A kind of thing that has ids, and how its absence is said."""

    kind: str  # of novaflow.db.ec2_ids
    prefixes: tuple[str, ...]
    malformed: str
    not_found: str
    name: str

    def missing(self, given: Iterable[str]) -> Ec2Error:
        """There is nothing by these ids, or nothing that the caller may see."""
        ids = list(given)
        if len(ids) == 1:
            return Ec2Error(self.not_found, f"The {self.name} ID '{ids[0]}' does not exist")
        return Ec2Error(self.not_found, f"The {self.name} IDs '{', '.join(ids)}' do not exist")

    def number(self, given: str) -> int:
        """The number in an id; raises the noun's code for what is none."""
        prefix, _, digits = given.partition("-")
        if prefix not in self.prefixes or not _DIGITS.fullmatch(digits):
            raise Ec2Error(self.malformed, f'Invalid id: "{given[:64]}" (expecting "{self.prefixes[0]}-...")')
        return int(digits, 16)


INSTANCE: Final = Noun(
    ec2_ids.INSTANCE, ("i",), "InvalidInstanceID.Malformed", "InvalidInstanceID.NotFound", "instance"
)
IMAGE: Final = Noun(ec2_ids.IMAGE, ("ami", "aki", "ari"), "InvalidAMIID.Malformed", "InvalidAMIID.NotFound", "image")
VOLUME: Final = Noun(ec2_ids.VOLUME, ("vol",), "InvalidVolumeID.Malformed", "InvalidVolume.NotFound", "volume")
SNAPSHOT: Final = Noun(
    ec2_ids.SNAPSHOT, ("snap",), "InvalidSnapshotID.Malformed", "InvalidSnapshot.NotFound", "snapshot"
)
NOUNS: Final = (INSTANCE, IMAGE, VOLUME, SNAPSHOT)
"""Those whose numbers are given here; security groups and addresses have numbers of their own."""


def as_shown(given: str) -> str:
    """An id of any kind as it is shown, whether it has 8 digits or 17; what is no id stays what it is, and is nobody's."""
    prefix, _, digits = given.partition("-")
    return shown(prefix, int(digits, 16)) if _DIGITS.fullmatch(digits) else given


async def resolve(ids: Ec2Ids, noun: Noun, given: Sequence[str]) -> Mapping[str, str]:
    """The cloud's own id of each thing named, by the id that was given; raises the noun's codes.

    Whether the thing is still there, and whether the caller may see it, is for who looks it up.
    """
    numbers = {one: noun.number(one) for one in given}
    found = await ids.resources(noun.kind, [number for number in numbers.values() if number <= _LARGEST])
    if missing := [one for one, number in numbers.items() if number not in found]:
        raise noun.missing(missing)
    return {one: found[number] for one, number in numbers.items()}
