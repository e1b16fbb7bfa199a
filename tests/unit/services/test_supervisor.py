"""Processes kept alive, with programs of a line or two in the place of services."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from novaflow.errors import ServiceUnavailable
from services.supervisor import Child, supervised
from tests.support.bus import until

SERVES = "import sys; print('ready', flush=True); sys.stdin.read()"


def program(code: str) -> tuple[str, ...]:
    """A command that runs `code`."""
    return (sys.executable, "-c", code)


def ignore(_: list[Child]) -> None:
    """Nobody wants to hear of changes."""


def is_alive(pid: int) -> bool:
    """Whether there is such a process, one that has ended but was not waited for aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_block_begins_when_every_child_serves_and_leaves_none(tmp_path: Path) -> None:
    async with supervised({"a": program(SERVES), "b": program(SERVES)}, tmp_path, 5.0, ignore) as children:
        pids = [child.pid for child in children]
        assert all(pid and is_alive(pid) for pid in pids)

    assert not any(pid and is_alive(pid) for pid in pids)


async def test_a_child_that_dies_is_started_again_and_that_is_told(tmp_path: Path) -> None:
    heard: list[int | None] = []
    async with supervised(
        {"a": program(SERVES)}, tmp_path, 5.0, lambda children: heard.append(children[0].pid)
    ) as children:
        first = children[0].pid
        assert first
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(heard) == 2)

    assert heard[0] == first
    assert heard[1] not in (None, first)


async def test_a_child_that_cannot_start_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("novaflow: of another day\n")
    failing = "import sys; print('novaflow: port 1 is in use', file=sys.stderr); print('(Background on', file=sys.stderr); sys.exit(1)"

    with pytest.raises(ServiceUnavailable, match=r"^a is not available: port 1 is in use$"):
        async with supervised({"a": program(failing), "b": program(SERVES)}, tmp_path, 5.0, ignore):
            pass


async def test_the_last_line_of_a_traceback_will_do(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="ZeroDivisionError"):
        async with supervised({"a": program("1 / 0")}, tmp_path, 5.0, ignore):
            pass


async def test_children_drain_the_last_one_first(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = f"""
import signal, sys, time
def stop(*_):
    with open({str(order)!r}, 'a') as file: file.write(sys.argv[1])
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print('ready', flush=True)
time.sleep(60)
"""
    commands = {name: (*program(code), name) for name in "abc"}

    async with supervised(commands, tmp_path, 5.0, ignore):
        pass

    assert order.read_text() == "cba"


async def test_a_child_that_does_not_drain_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    async with supervised({"a": program(deaf)}, tmp_path, 0.1, ignore) as children:
        pid = children[0].pid

    assert pid
    assert not is_alive(pid)


async def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from services.supervisor import supervised
async def main():
    async with supervised({{'a': (sys.executable, '-c', {SERVES!r})}}, Path({str(tmp_path)!r}), 5.0, lambda _: None) as children:
        print(children[0].pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    supervisor = await asyncio.create_subprocess_exec(*program(code), stdout=asyncio.subprocess.PIPE)
    assert supervisor.stdout
    child = int(await asyncio.wait_for(supervisor.stdout.readline(), 30))
    assert is_alive(child)

    supervisor.kill()
    await supervisor.wait()

    await until(lambda: not is_alive(child))
