"""What `novaflow bench queue` and `broker-kill` refuse before they start anything."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli import cli


def bench(*words: str) -> Result:
    return CliRunner().invoke(cli, ["bench", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "big"), "neither a number of bytes nor 'nova'"),
        (("--size", "3"), "3 is not from 64"),
        (("--in-flight", "1,x"), "not a list of whole numbers"),
        (("--in-flight", "0,16"), "0 is not from 1"),
        (("--peers", "aio-pika,carrier-pigeon"), "there is no 'carrier-pigeon'"),
        (("--pattern", "shout"), "'shout' is not one of"),
        (("--durability", "eternal"), "'eternal' is not one of"),
        (("--rounds", "0"), "--rounds"),
        (("--seconds", "0"), "--seconds"),
        (("--seconds", "nan"), "nan is not a number"),
        (("--messages", "0"), "--messages"),
        (("--broker", "http://somewhere/"), "must begin with amqp://"),
        (("--broker", "amqp://one,two/"), "URL of one node"),
        (("--broker", "rabbit://one/"), "URL of one node"),
        (("--json", "/no/such/directory/file.json"), "there is no directory"),
        (("--html", "/"), "is a directory"),
    ],
    ids=" ".join,
)
def test_bad_input_is_refused_by_the_name_of_its_option(words: tuple[str, str], said: str) -> None:
    result = bench("queue", *words)

    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert words[0] in result.output


def test_a_refused_url_does_not_show_its_password() -> None:
    result = bench("queue", "--broker", "amqp://someone:very-secret@one:1,one:1/")

    assert result.exit_code == 2
    assert "very-secret" not in result.output


def test_a_file_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    result = bench("broker-kill", "--json", str(tmp_path / "missing" / "kill.json"))

    assert result.exit_code == 2
    assert "--json" in result.output


@pytest.mark.parametrize(
    "words", [("--mode", "careless"), ("--down", "-1"), ("--nodes", "2"), ("--in-flight", "0")], ids=" ".join
)
def test_broker_kill_refuses_what_cannot_be(words: tuple[str, str]) -> None:
    result = bench("broker-kill", *words)

    assert result.exit_code == 2
    assert words[0] in result.output


def test_a_peer_that_was_asked_for_and_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")

    result = bench("queue", "--broker", "amqp://127.0.0.1:1/", "--peers", "limit")

    assert result.exit_code == 2
    assert "--peers" in result.output
    assert "limit is not available" in result.output


def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    result = bench("queue", "--broker", f"amqp://someone:very-secret@127.0.0.1:{port}/", "--peers", "novaflow")

    assert result.exit_code == 2
    assert f"nothing answers at 127.0.0.1:{port}" in " ".join(result.output.split())
    assert "very-secret" not in result.output
