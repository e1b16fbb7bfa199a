"""The command line of the crash matrix."""

from click.testing import CliRunner

from tests.crash_matrix.__main__ import main


def test_an_action_that_nobody_knows_is_refused_with_those_that_there_are() -> None:
    answer = CliRunner().invoke(main, ["--actions", "fly", "--offload-at-once"])

    assert answer.exit_code == 2
    assert "'fly' is none of boot, stop, start" in answer.output
