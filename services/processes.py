"""The processes of a running cloud, and what the kernel says of them."""

import json
import os
from pathlib import Path


def of_cloud(state_dir: Path) -> dict[str, set[int]]:
    """Process ids by name, each once: the supervisor, the services, a private RabbitMQ and MariaDB with all they started."""
    facts = json.loads((state_dir / "up.json").read_text())
    services = set(facts["processes"].values())
    found = {name: {pid} for name, pid in facts["processes"].items()}
    if facts["pid"] not in services:  # of an embedded cloud it is the only service
        found["supervisor"] = {facts["pid"]}
    for pid in _descendants(facts["pid"]) - {facts["pid"], *services}:
        found.setdefault(_name(pid), set()).add(pid)
    return found


def rss_mib(pids: set[int]) -> float:
    """What is resident of these processes, each by itself; shared pages count for every one."""
    return sum(_rss_kib(pid) for pid in pids) / 1024


def cpu_seconds(pids: set[int]) -> float:
    """What these processes have spent so far, in user and kernel mode."""
    return sum(_ticks(pid) for pid in pids) / os.sysconf("SC_CLK_TCK")


def memory(state_dir: Path) -> dict[str, float]:
    """Resident memory in MiB by process, and the total."""
    found = {name: rss_mib(pids) for name, pids in of_cloud(state_dir).items()}
    rounded = {name: round(mib, 1) for name, mib in found.items() if mib}
    return {**rounded, "total": round(sum(found.values()), 1)}


def cpu(state_dir: Path) -> dict[str, float]:
    """CPU seconds so far by process."""
    return {name: cpu_seconds(pids) for name, pids in of_cloud(state_dir).items()}


def _rss_kib(pid: int) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _ticks(pid: int) -> int:
    # Fields 14 and 15 of proc(5); the name before them may hold blanks and brackets.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def _name(pid: int) -> str:
    return _read(f"/proc/{pid}/comm").strip() or "gone"


def _read(path: str) -> str:
    """The file; nothing when the process has ended."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _descendants(root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = _read(str(path)).rpartition(")")[2].split()
        if fields:
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting.extend(children.get(pid, []))
    return found
