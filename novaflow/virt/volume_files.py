"""The volumes of one host and the snapshots of them: files that outlive the guests.

<directory>/volumes/<volume id>/disk             a qcow2 that stands alone
<directory>/volumes/<volume id>/attached.json    whose disk it is; absent when it is nobody's
<directory>/volume_snapshots/<snapshot id>       a qcow2 that stands alone

The note of who has a volume is made before a guest gets it and removed after the guest has let it go, and only one can make it:
so no file is ever two guests' disk, whoever is killed when. Everything here raises OSError.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from novaflow.virt.driver import StoredVolume
from novaflow.virt.image_facts import Refused

_NOTE: Final = "attached.json"


class VolumeFiles:
    """What is below one host's directory of volumes and snapshots."""

    def __init__(self, directory: Path) -> None:
        self._volumes = directory.absolute() / "volumes"
        self._snapshots = directory.absolute() / "volume_snapshots"

    def disk(self, volume_id: str) -> Path:
        """The volume's file, there or not."""
        return self._volumes / volume_id / "disk"

    def snapshot(self, snapshot_id: str) -> Path:
        """The snapshot's file, there or not."""
        return self._snapshots / snapshot_id

    def prepare(self, path: Path) -> None:
        """Make the directory in which a volume or a snapshot is to be."""
        path.parent.mkdir(parents=True, exist_ok=True)

    def all(self) -> list[StoredVolume]:
        """Every volume, half made ones too."""
        return [self.stored(path.name) for path in sorted(self._volumes.glob("*"))]

    def all_snapshots(self) -> list[str]:
        """The ids of the snapshots; parts of one that is being written are none."""
        return sorted(path.name for path in self._snapshots.glob("*") if not path.suffix)

    def of(self, server_id: str) -> list[StoredVolume]:
        """The volumes that a guest has."""
        return [volume for volume in self.all() if volume.server_id == server_id]

    def stored(self, volume_id: str) -> StoredVolume:
        """The volume and whose it is."""
        try:
            return msgspec.json.decode((self._volumes / volume_id / _NOTE).read_bytes(), type=StoredVolume)
        except FileNotFoundError:
            return StoredVolume(volume_id=volume_id)

    def take(self, volume_id: str, server_id: str) -> StoredVolume:
        """Note that the volume is this guest's; fine when it is already. Raises Refused when it is another's, or is not here."""
        if not self.disk(volume_id).exists():
            raise Refused(f"there is no volume {volume_id} on this host")
        wanted, note = StoredVolume(volume_id=volume_id, server_id=server_id), self._volumes / volume_id / _NOTE
        fresh = self._write(volume_id, wanted)
        try:
            os.link(fresh, note)  # unlike a renaming, it never takes the place of another
        except FileExistsError:
            found = self.stored(volume_id)
            if found.server_id != server_id:
                raise Refused(f"volume {volume_id} is attached to server {found.server_id}") from None
            return found
        finally:
            fresh.unlink(missing_ok=True)
        return wanted

    def name_device(self, volume_id: str, server_id: str, device: str) -> None:
        """Note as what the guest has it."""
        fresh = self._write(volume_id, StoredVolume(volume_id=volume_id, server_id=server_id, device=device))
        fresh.replace(self._volumes / volume_id / _NOTE)

    def take_all(self, volumes: Iterable[StoredVolume]) -> None:
        """Note these as they say whose they are; none of them when one cannot be had. Raises as `take`."""
        taken: list[StoredVolume] = []
        try:
            for volume in volumes:
                self.take(volume.volume_id, volume.server_id)
                taken.append(volume)
                self.name_device(volume.volume_id, volume.server_id, volume.device)
        except (OSError, Refused):
            self.let_go_of_all(taken)
            raise

    def let_go_of_all(self, volumes: Iterable[StoredVolume]) -> None:
        """Note that these are nobody's."""
        for volume in volumes:
            self.let_go(volume.volume_id)

    def let_go(self, volume_id: str) -> None:
        """Note that it is nobody's; fine when it is."""
        (self._volumes / volume_id / _NOTE).unlink(missing_ok=True)

    def let_go_of(self, server_id: str) -> None:
        """Nothing is this guest's any more: it is gone."""
        for volume in self.of(server_id):
            self.let_go(volume.volume_id)

    def remove(self, volume_id: str) -> None:
        """Remove a volume; fine when there is none. Raises Refused when a guest has it."""
        home = self._volumes / volume_id
        holder = self.stored(volume_id).server_id
        if holder:
            raise Refused(f"volume {volume_id} is attached to server {holder}")
        if home.exists():
            shutil.rmtree(home)

    def remove_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot; fine when there is none."""
        self.snapshot(snapshot_id).unlink(missing_ok=True)

    def _write(self, volume_id: str, noted: StoredVolume) -> Path:
        fresh = self._volumes / volume_id / f"{_NOTE}.new"
        fresh.write_bytes(msgspec.json.encode(noted))
        return fresh


def free_device(wanted: str, taken: set[str]) -> str:
    """The device's name as wanted, or the first that is free: vdb to vdz."""
    names = [wanted] if wanted else []
    names += [f"vd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"]
    found = next((name for name in names if name not in taken), None)
    if found is None:
        raise Refused("the guest has no room for another disk")
    return found
