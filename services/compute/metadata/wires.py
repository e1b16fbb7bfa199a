"""The wires of all guests on one host: each is answered on from soon after it is laid until it is gone.

They are found by looking at the guests' directories, so it does not matter how a guest came to be here, nor when we started.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from novaflow.virt.wire.laid import FILE, noted
from services.compute.metadata.station import Station

LOOK: Final = 1.0  # seconds between two looks
SHARE: Final = 0.02  # of the time, at most, is spent looking
Mark = tuple[int, int]  # the inode and the time of a note
log = logging.getLogger(__name__)


class GuestWires:
    """`directory` has the guests' directories, by their ids; `protocol` makes what serves a guest's connection."""

    def __init__(self, directory: Path, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._directory = directory
        self._protocol = protocol
        self._stations: dict[str, tuple[Mark, Station]] = {}
        self._told: dict[str, Mark] = {}  # of guests that nobody answers, so that it is said once

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                before = loop.time()
                self._follow(await asyncio.to_thread(_marks, self._directory))
                await asyncio.sleep(max(LOOK, (loop.time() - before) / SHARE))
        finally:
            for _, station in self._stations.values():
                station.close()
            self._stations.clear()

    def _follow(self, marks: dict[str, Mark]) -> None:
        for server_id, (mark, station) in list(self._stations.items()):
            if marks.get(server_id) != mark:
                station.close()
                del self._stations[server_id]
        for server_id, mark in marks.items():
            if server_id not in self._stations:
                self._answer_on(server_id, mark)
        self._told = {server_id: mark for server_id, mark in self._told.items() if server_id in marks}

    def _answer_on(self, server_id: str, mark: Mark) -> None:
        wire = noted(self._directory / server_id)
        if wire is None:
            return
        try:
            self._stations[server_id] = (mark, Station(server_id, wire, self._protocol))
        except OSError as error:  # it may pass: there are too many open files, or no room for one
            if self._told.get(server_id) != mark:
                log.warning("server %s: nobody answers on its network yet: %s", server_id, error)
            self._told[server_id] = mark


def _marks(directory: Path) -> dict[str, Mark]:
    """By the id of every guest that has a wire; those that are parked have none."""
    found = {}
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return {}
    for name in names:
        try:
            note = os.stat(f"{directory}/{name}/{FILE}")
        except OSError:
            continue
        if not name.endswith("_resize"):
            found[name] = (note.st_ino, note.st_mtime_ns)
    return found
