"""Which CPython 2.7 the tests of old clients take, and what becomes of them where none runs."""

from pathlib import Path

import pytest

from tests.support.python27 import NAME, need_python27

RUNS = "#!/bin/sh\necho '2.7.18 (default)'\n"
BROKEN = "#!/bin/sh\necho 'no module named ssl' >&2\nexit 1\n"


def program(path: Path, script: str) -> Path:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two directories on PATH are below it."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def pyenv(path: Path) -> Path:
    """A pyenv with a shim of our name on PATH; gives the interpreter that it has installed."""
    program(path / "second" / "pyenv", f"#!/bin/sh\necho {path / 'first'}\n")
    (path / "first").mkdir(exist_ok=True)
    shims = path / "first" / "shims"
    program(shims / NAME, BROKEN)
    return program(path / "first" / "versions" / "2.7.18" / "bin" / NAME, RUNS)


def test_the_first_on_path_that_runs_is_taken(path: Path) -> None:
    program(path / "first" / NAME, BROKEN)
    second = program(path / "second" / NAME, RUNS)

    assert need_python27() == second


def test_pyenvs_own_is_taken_and_not_its_shim(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = pyenv(path)
    monkeypatch.setenv("PATH", f"{path / 'first' / 'shims'}:{path / 'second'}")

    assert need_python27() == installed


@pytest.mark.parametrize("ci", ["", "true"])
def test_where_there_is_none_the_test_is_skipped(path: Path, monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setattr("tests.support.python27.candidates", lambda: iter(()))
    monkeypatch.setenv("CI", ci)

    with pytest.raises(pytest.skip.Exception, match=r"no python2\.7 runs here"):
        need_python27()


def test_one_that_is_broken_is_a_failure_in_ci_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(path / "first" / NAME, BROKEN)
    monkeypatch.setattr("tests.support.python27.candidates", lambda: iter((broken,)))

    with pytest.raises(pytest.skip.Exception, match=f"broken are {broken}"):
        need_python27()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"installed, but broken: {broken}"):
        need_python27()
