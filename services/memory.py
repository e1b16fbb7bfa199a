"""How much memory a running cloud takes, read from the kernel."""

import json
from pathlib import Path


def of_cloud(state_dir: Path) -> dict[str, float]:
    """Resident memory in MiB by process: the services, a private RabbitMQ and MariaDB with all they started, and the total."""
    pids = json.loads((state_dir / "up.json").read_text())
    found = {name: _rss_mib(pid) for name, pid in {"supervisor": pids["pid"], **pids["processes"]}.items()}
    below = _descendants(pids["pid"]) - {pids["pid"], *pids["processes"].values()}
    for pid in below:
        name = _name(pid)
        found[name] = found.get(name, 0.0) + _rss_mib(pid)
    rounded = {name: round(mib, 1) for name, mib in found.items() if mib}
    return {**rounded, "total": round(sum(found.values()), 1)}


def _rss_mib(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        return 0.0
    return 0.0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def _descendants(root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting.extend(children.get(pid, []))
    return found
