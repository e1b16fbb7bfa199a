"""Which cached images the guests of this machine were made of, so that none is removed under a guest.

A guest's disk reads what it has not written from the image in the cache, and a kernel is loaded from there at every start.
So each guest has a file here that names its images, written before the guest is made:

<directory>/<host>/<server id>    names of cache entries, as JSON

Processes that share the cache share this directory. A note outlives its guest until `forget`.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec


class ImageUse:
    """The notes in one directory. Everything here blocks, shortly."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, host: str, server_id: str, images: Iterable[Path]) -> None:
        """The guest of this server is about to be made of these files."""
        home = self._directory / host
        home.mkdir(parents=True, exist_ok=True)
        fresh = home / f".{server_id}"
        fresh.write_bytes(msgspec.json.encode(sorted({image.name for image in images})))
        fresh.replace(home / server_id)

    def note_too(self, host: str, server_id: str, images: Iterable[Path]) -> None:
        """The same, of a guest that goes on needing what it was made of before."""
        known = [Path(name) for name in _names_in(self._directory / host / server_id)]
        self.note(host, server_id, [*known, *images])

    def images(self) -> set[Path]:
        """The images of all guests on all hosts, as names. Raises OSError, msgspec.DecodeError for a note nobody can read."""
        if not self._directory.exists():
            return set()
        notes = [note for home in self._directory.iterdir() for note in _notes_in(home)]
        return {Path(name) for note in notes for name in _names_in(note)}

    def noted(self, host: str) -> set[str]:
        """The servers of a host whose images are known."""
        return {note.name for note in _notes_in(self._directory / host)}

    def forget(self, host: str, server_ids: Collection[str], before: float) -> None:
        """These guests are gone. A note made after `before` (epoch seconds) stays: its guest may be on its way."""
        for note in _notes_in(self._directory / host):
            if note.name in server_ids and note.stat().st_mtime < before:
                note.unlink()


def _notes_in(home: Path) -> list[Path]:
    return [note for note in home.iterdir() if not note.name.startswith(".")] if home.exists() else []


def _names_in(note: Path) -> list[str]:
    try:
        return msgspec.json.decode(note.read_bytes(), type=list[str])
    except FileNotFoundError:
        return []  # its guest was removed meanwhile
