"""Where a cloud's processes are watched: one file for each below the state directory.

`<state_dir>/metrics/<process>-<pid>.json` has the form of Prometheus's file_sd_configs, so a Prometheus of the same user
finds every process by `files: [<state_dir>/metrics/*.json]`, on free ports or fixed ones.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from services.private_files import write_private

DIRECTORY: Final = "metrics"  # below the state directory
# Labels that begin with __meta are for relabelling; they are no part of a series.
_PID: Final = "__meta_novaflow_pid"
_MACHINE: Final = "__meta_novaflow_machine"
_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


class TargetGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What Prometheus reads of a file: addresses, and labels for their series."""

    targets: list[str]
    labels: dict[str, str]


@contextmanager
def announced(state_dir: Path, process: str, host: str, port: int) -> Iterator[None]:
    """Tell of this process's listener while the block runs; forget those that were killed on this machine."""
    directory = state_dir / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    machine = socket.gethostname()
    for path, group in _groups(directory):
        if group.labels[_MACHINE] == machine and not Path(f"/proc/{group.labels[_PID]}").exists():
            path.unlink(missing_ok=True)
    shown = machine if host in _EVERYWHERE else host
    target = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
    labels = {"process": process, _PID: str(os.getpid()), _MACHINE: machine}
    told = msgspec.json.encode([TargetGroup(targets=[target], labels=labels)]).decode()
    path = write_private(directory / f"{process}-{os.getpid()}.json", told + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def targets(state_dir: Path) -> dict[int, str]:
    """The address of every listener that is told of, by process id."""
    return {int(group.labels[_PID]): group.targets[0] for _, group in _groups(state_dir / DIRECTORY)}


def _groups(directory: Path) -> Iterator[tuple[Path, TargetGroup]]:
    for path in sorted(directory.glob("*.json")):
        try:
            (group,) = msgspec.json.decode(path.read_bytes(), type=list[TargetGroup])
        except (FileNotFoundError, msgspec.DecodeError, ValueError):
            continue  # it ended just now, or the file is not ours
        if _MACHINE in group.labels and group.labels.get(_PID, "").isdecimal():
            yield path, group
