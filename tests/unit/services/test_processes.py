"""What the kernel says of a cloud's processes."""

import asyncio
import json
import os
import sys
from pathlib import Path

from services import processes


async def test_the_processes_of_a_cloud_are_its_services_and_what_they_started(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read()", stdin=asyncio.subprocess.PIPE
    )
    try:
        facts = {"pid": os.getpid(), "processes": {"api": child.pid}}
        (tmp_path / "up.json").write_text(json.dumps(facts))

        found = processes.of_cloud(tmp_path)
        memory = processes.memory(tmp_path)
    finally:
        child.kill()
        await child.wait()

    assert (found["supervisor"], found["api"]) == ({os.getpid()}, {child.pid})
    assert memory["api"] > 1
    assert memory["total"] >= memory["api"] + memory["supervisor"] - 0.1


def test_the_one_process_of_an_embedded_cloud_counts_once(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"pid": os.getpid(), "processes": {"novaflow": os.getpid()}}))

    found = processes.of_cloud(tmp_path)

    assert [name for name, pids in found.items() if os.getpid() in pids] == ["novaflow"]


def test_work_shows_as_cpu_and_a_process_that_ended_as_nothing() -> None:
    before = processes.cpu_seconds({os.getpid()})
    while processes.cpu_seconds({os.getpid()}) - before < 0.02:
        sum(range(100_000))

    nobody = 2**22 + 1  # above the largest process id there can be
    assert (processes.cpu_seconds({nobody}), processes.rss_mib({nobody})) == (0.0, 0.0)
