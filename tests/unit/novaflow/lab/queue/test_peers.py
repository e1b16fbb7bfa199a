"""The catalogue of peers: what it promises, its scripts keep, and its requirements are pinned."""

import ast
from pathlib import Path
from typing import Any

import pytest

from novaflow.lab.queue.peers import CATALOGUE, PEERS, NotAvailable, prepare, requirements_of


def promised(script: Path) -> dict[str, Any]:
    """The keyword arguments of the script's call of run()."""
    calls = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
    (run,) = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "run")
    names = ("patterns", "durabilities")
    return {word.arg: ast.literal_eval(word.value) for word in run.keywords if word.arg in names and word.arg}


@pytest.mark.parametrize("name", PEERS)
def test_a_script_refuses_what_the_catalogue_does_not_promise(name: str) -> None:
    peer = CATALOGUE[name]
    said = promised(peer.path)

    assert set(said.get("patterns", ("call", "cast"))) == peer.patterns
    assert set(said.get("durabilities", ("transient", "durable", "quorum"))) == peer.durabilities


@pytest.mark.parametrize("name", PEERS)
def test_every_requirement_is_pinned(name: str) -> None:
    lines = requirements_of(name).read_text().splitlines()

    assert lines
    assert all("==" in line for line in lines)


async def test_an_unknown_peer_is_refused_with_the_names_of_the_known(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match=r"no peer is called pikachu; there are aio-pika, .*dramatiq"):
        await prepare("pikachu", tmp_path, print)


async def test_an_installation_that_fails_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    said: list[str] = []

    with pytest.raises(NotAvailable, match=r"pika cannot be installed: python ended with status 1: .*pika==1"):
        await prepare("pika", tmp_path / "cache", said.append)

    assert len(said) == 1
