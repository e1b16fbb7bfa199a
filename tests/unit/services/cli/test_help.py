"""Every command explains itself."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from services.cli import cli


def commands(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something."""
    if not isinstance(command, click.Group):
        yield words
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, *words, name)


EVERY = [*commands(cli)]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_tells_what_it_does_and_shows_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*words, "--help"])

    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"novaflow {' '.join(words)}" in result.output.partition("Example:")[2]


@pytest.mark.parametrize(
    "words", [("nonsense",), ("up", "--hosts", "0"), ("up", "--nonsense"), ("trace",)], ids=" ".join
)
def test_a_wrong_call_is_exit_status_2(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli, words).exit_code == 2
