import gzip
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from novaflow.virt.guest.agent import Agent, agent_entries, chpasswd_script, find_agent
from novaflow.virt.guest.initramfs import build_initramfs
from novaflow.virt.guest.sources import CannotBuild, static_busybox


def installed_agent(root: Path, program: Path) -> Path:
    """A machine that has this program as its agent."""
    (root / "usr/sbin").mkdir(parents=True)
    shutil.copyfile(program, root / "usr/sbin/qemu-ga")
    return root


def test_an_agent_that_is_installed_is_taken_with_all_that_it_loads(tmp_path: Path) -> None:
    root = installed_agent(tmp_path / "root", Path("/bin/sh").resolve())
    said: list[str] = []

    agent = find_agent(tmp_path / "downloads", said.append, root)

    assert said == []
    assert agent.program == root / "usr/sbin/qemu-ga"
    assert any(path.name == "libc.so.6" for path in agent.libraries)
    assert any(path.name.startswith("ld-") for path in agent.libraries)


def test_an_agent_of_which_nobody_can_tell_what_it_loads_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")

    with pytest.raises(CannotBuild, match="needs cannot be told"):
        find_agent(tmp_path, lambda _: None, installed_agent(tmp_path / "root", text))


def test_libraries_lie_where_the_loader_looks_for_them_in_directories_that_come_first(tmp_path: Path) -> None:
    library = tmp_path / "lib" / "libx.so.1"
    library.parent.mkdir()
    library.write_bytes(b"library")
    program = tmp_path / "qemu-ga"
    program.write_bytes(b"program")

    entries = agent_entries(Agent(program=program, libraries=(library,)))

    place = str(library).lstrip("/")
    names = [entry.name for entry in entries]
    data = {entry.name: entry.data for entry in entries if stat.S_ISREG(entry.mode)}
    assert data == {"bin/qemu-ga": b"program", "bin/chpasswd": chpasswd_script(), place: b"library"}
    for parent in Path(place).parents:
        assert str(parent) == "." or names.index(str(parent)) < names.index(place)


def test_an_initramfs_with_an_agent_has_more_than_one_without(tmp_path: Path) -> None:
    busybox = static_busybox()
    if busybox is None:
        pytest.skip("no static busybox is installed")
    program = tmp_path / "qemu-ga"
    program.write_bytes(b"the agent's program")

    entries = agent_entries(Agent(program=program, libraries=()))

    assert b"the agent's program" in gzip.decompress(build_initramfs(busybox, [], entries))
    assert b"qemu-ga\0" not in gzip.decompress(build_initramfs(busybox, []))


def test_what_sets_the_password_is_a_script_that_a_shell_can_read(tmp_path: Path) -> None:
    script = tmp_path / "chpasswd"
    script.write_bytes(chpasswd_script())

    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)
