"""Options that several commands share."""

from pathlib import Path

import click

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the cloud keeps its files [default: $NOVAFLOW_STATE_DIR or .state].",
)

metrics_port_option = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    envvar="NOVAFLOW_METRICS_PORT",
    help="Serve /metrics and /healthz there; 0 takes a free port [default: metrics.port of the configuration].",
)
