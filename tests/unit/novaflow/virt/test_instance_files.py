import os
from pathlib import Path

import pytest

from novaflow.virt.instance_files import CONSOLE_LIMIT, InstanceFiles


def test_a_guests_files_are_made_and_removed(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)

    paths = files.make("guest", b"iso")
    assert Path(paths.config_drive).read_bytes() == b"iso"
    files.remove("guest")
    files.remove("guest")

    assert not files.of("guest").exists()


def test_a_console_that_grew_too_large_keeps_its_end(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    console = Path(files.make("guest", b"").console)
    with console.open("ab") as writer:  # as QEMU does
        writer.write(b"x" * CONSOLE_LIMIT + b"the end")
        writer.flush()

        files.trim_console("guest")
        writer.write(b", and more")

    assert console.stat().st_size < CONSOLE_LIMIT
    assert files.console_end("guest", 17) == b"the end, and more"


def test_a_small_console_is_left_alone(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    Path(files.make("guest", b"").console).write_bytes(b"all of it")

    files.trim_console("guest")
    files.trim_console("nobody")

    assert files.console_end("guest", 1000) == b"all of it"


def test_what_comes_while_a_guest_is_removed_is_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = InstanceFiles(tmp_path)
    files.make("server", b"")
    remove = os.rmdir

    def late(path: str, **more: int) -> None:
        if files.of("server").exists() and not (tmp_path / "came").exists():
            (tmp_path / "came").touch()
            (files.of("server") / "host").touch()
        remove(path, **more)

    monkeypatch.setattr(os, "rmdir", late)

    files.remove("server")

    assert (tmp_path / "came").exists()
    assert not files.of("server").exists()
