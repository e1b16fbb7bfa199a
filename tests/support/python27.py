"""CPython 2.7, for the clients of 2014: where one is, and virtual environments for it.

A virtual environment is made by the last virtualenv but a few that can (20.15.1, itself on our own Python), so that nothing is installed
into the interpreter, which on Debian has no pip either.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.clients import CLIENTS, environment, filled, install, run

NAME: Final = "python2.7"
_ASK: Final = "import ssl, sys, zlib; sys.stdout.write(sys.version)"  # without the two no package is fetched
_TIMEOUT: Final = 30


def environment27(python: Path, lock: Path, virtualenv: Path, built_with: Path | None = None) -> Path:
    """As `environment`, for this interpreter; `virtualenv` pins the tool that makes it.

    `built_with` pins what is installed first, because source packages in `lock` are built with it: they fetch it themselves, and
    unpinned, where it is not there.
    """
    build = built_with.read_text() if built_with else ""

    def make(directory: Path) -> None:
        tool = environment(virtualenv) / "virtualenv"
        data = CLIENTS / "virtualenv-data"
        run(tool, "-q", "--clear", "--no-periodic-update", "--app-data", data, "-p", python, directory)
        if built_with:
            install(directory, built_with)

    return filled(lock, f"{python} {version_of(python)}{build}", make)


def need_python27() -> Path:
    """One that runs. Skips where there is none; in CI, fails where there is one and it does not run."""
    broken = []
    for candidate in candidates():
        if version_of(candidate).startswith("2.7."):
            return candidate
        broken.append(str(candidate))
    if broken and os.environ.get("CI") == "true":
        pytest.fail(f"installed, but broken: {', '.join(broken)}")
    pytest.skip(f"no {NAME} runs here{': broken are ' if broken else ''}{', '.join(broken)}")


def candidates() -> Iterator[Path]:
    """Where one may be: on PATH, and in pyenv's versions; pyenv's shims on PATH run only where a version has been chosen."""
    root = _pyenv_root()
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which(NAME, path=directory)
        if found and (root is None or Path(found).parent != root / "shims"):
            yield Path(found)
    if root is not None:
        yield from sorted(root.glob(f"versions/2.7*/bin/{NAME}"))


def version_of(python: Path) -> str:
    """What it says its version is; empty when it does not run, or could not fetch a package."""
    try:
        asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout if asked.returncode == 0 else ""


def _pyenv_root() -> Path | None:
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return None
    said = subprocess.run([pyenv, "root"], capture_output=True, text=True, timeout=_TIMEOUT)
    return Path(said.stdout.strip()) if said.returncode == 0 else None
