"""Options that several commands share."""

from pathlib import Path

import click

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the cloud keeps its files [default: $NOVAFLOW_STATE_DIR or .state].",
)
