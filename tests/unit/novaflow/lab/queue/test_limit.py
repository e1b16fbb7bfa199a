"""The limit is compiled once, or says what is missing."""

import os
from pathlib import Path

import pytest

from novaflow.lab.queue.limit import prepare_limit
from novaflow.lab.queue.peers import NotAvailable


async def test_the_limit_is_compiled_once(tmp_path: Path) -> None:
    said: list[str] = []

    first = await prepare_limit(tmp_path / "cache", said.append)
    again = await prepare_limit(tmp_path / "cache", said.append)

    assert first == again
    assert os.access(first.command[0], os.X_OK)
    assert len(said) == 1


async def test_without_a_compiler_the_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")

    with pytest.raises(NotAvailable, match=r"needs a C compiler .*apt-get install gcc .*librabbitmq-dev"):
        await prepare_limit(tmp_path, print)


async def test_without_the_library_the_packages_and_the_reason_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'fatal error: amqp.h: No such file' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))

    with pytest.raises(NotAvailable, match=r"librabbitmq-dev\): .*amqp\.h: No such file"):
        await prepare_limit(tmp_path / "cache", print)

    assert not [path for path in (tmp_path / "cache").iterdir() if os.access(path, os.X_OK)]
