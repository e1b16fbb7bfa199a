"""Virtual environments are made once, whole, and by one at a time."""

import asyncio
from pathlib import Path

import pytest

from novaflow.lab.queue.virtual_environments import ProgramFailed, directory_for, python_with, run_program


def test_other_requirements_have_another_directory(tmp_path: Path) -> None:
    first = directory_for(tmp_path, "peer", "a==1")

    assert first == directory_for(tmp_path, "peer", "a==1")
    assert first != directory_for(tmp_path, "peer", "a==2")
    assert first.name.startswith("peer-")


async def test_two_at_once_make_one_environment_in_place_of_a_half_made_one(tmp_path: Path) -> None:
    requirements = tmp_path / "none.txt"
    requirements.write_text("# nothing\n")
    half = directory_for(tmp_path, "peer", "# nothing\n")
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").write_text("not a program")
    said: list[str] = []

    made = await asyncio.gather(*(python_with(tmp_path, "peer", requirements, said.append) for _ in range(2)))

    assert made == [half / "bin" / "python"] * 2
    assert len(said) == 1
    await run_program(str(made[0]), "-c", f"import sys; assert sys.prefix == {str(half)!r}")


async def test_a_program_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(ProgramFailed, match="sh ended with status 4: so it goes"):
        await run_program("/bin/sh", "-c", "echo so it goes >&2; exit 4")


async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(ProgramFailed, match="/no/such/program cannot be started: No such file"):
        await run_program("/no/such/program")


async def test_a_program_ends_with_the_wait_for_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    running = asyncio.create_task(run_program("/bin/sh", "-c", f"echo $$ > {pid}; exec sleep 60"))
    async with asyncio.timeout(30):
        while not (pid.exists() and pid.read_text()):
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])

    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
