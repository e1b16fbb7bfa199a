"""How a process logs: one line an event, to standard error."""

import logging

from novaflow.config import Config


def configure(config: Config, process: str) -> None:
    """Set up logging for this process at the configured level."""
    logging.basicConfig(
        level=config.log_level, format=f"%(asctime)s {process} %(levelname)s %(name)s: %(message)s", force=True
    )
