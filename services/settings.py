"""From flags and files to one configuration: what `novaflow up` was asked for, as `novaflow.config.Config`.

The effective configuration of a running cloud is kept in its state directory (0600, since URLs may hold passwords), where
the processes that it starts, and the other commands, find it.
"""

import os
from pathlib import Path
from typing import Final

import msgspec
import tomli_w

from novaflow.config import Config, load
from novaflow.errors import Invalid
from services.broker import with_whole_paths
from services.bus_settings import bus_settings
from services.ports import free_ports
from services.private_files import write_private

EFFECTIVE: Final = "effective.toml"
PORTS: Final = 6  # that a cloud listens on
_SYNC_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}


def read(path: Path) -> Config:
    """Read a configuration file; raises Invalid naming the file and the key."""
    try:
        config = load(path)
        bus_settings(config.bus)
    except FileNotFoundError as error:
        raise Invalid(reason=f"there is no configuration file {path}") from error
    except (msgspec.ValidationError, msgspec.DecodeError, Invalid) as error:
        raise Invalid(reason=f"{path}: {error}") from error
    return config


def default_state_dir() -> Path:
    """Where a cloud lives unless told otherwise: $NOVAFLOW_STATE_DIR, else .state below the working directory."""
    return Path(os.environ.get("NOVAFLOW_STATE_DIR", ".state"))


def with_flags(
    config: Config,
    *,
    state_dir: Path | None = None,
    bus: str | None = None,
    database: str | None = None,
    virt: str | None = None,
    hosts: int | None = None,
    port_base: int | None = None,
    metrics_port: int | None = None,
) -> Config:
    """`config` with what the command line said on top."""
    replace = msgspec.structs.replace
    if state_dir is not None:
        config = replace(config, state_dir=str(state_dir))
    if bus is not None:
        config = replace(config, bus=replace(config.bus, url=bus))
    if database is not None:
        config = replace(config, database=replace(config.database, url=async_url(database)))
    compute = config.compute
    if virt is not None:
        compute = replace(compute, virt=virt)
    if hosts is not None:
        compute = replace(compute, hosts=hosts)
    config = replace(config, compute=compute)
    if metrics_port is not None:
        config = replace(config, metrics=replace(config.metrics, port=metrics_port))
    return config if port_base is None else with_ports(config, port_base)


def async_url(url: str) -> str:
    """A database URL with the asyncio driver this project uses, where none is named."""
    scheme, separator, rest = url.partition(":")
    return f"{_SYNC_DRIVERS.get(scheme, scheme)}{separator}{rest}"


def with_ports(config: Config, base: int) -> Config:
    """`config` on PORTS ports from `base` on (identity, identity admin, image, compute, EC2, metadata), or on free ones for 0."""
    found = free_ports(config.api.host, PORTS) if base == 0 else range(base, base + PORTS)
    identity, admin, image, api, ec2, metadata = found
    replace = msgspec.structs.replace
    return replace(
        config,
        identity=replace(config.identity, port=identity, admin_port=admin),
        image=replace(config.image, port=image),
        api=replace(config.api, port=api, ec2_port=ec2, metadata_port=metadata),
    )


def save(config: Config) -> Path:
    """Write the effective configuration into the state directory, readable by the owner alone, with paths that hold from everywhere."""
    directory = Path(config.state_dir).absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    pinned = msgspec.structs.replace(config, state_dir=str(directory), bus=with_whole_paths(config.bus))
    return write_private(directory / EFFECTIVE, tomli_w.dumps(msgspec.to_builtins(pinned)))


def running_config(state_dir: Path) -> Config:
    """The configuration of the cloud in `state_dir`; raises Invalid when none was ever started there."""
    path = state_dir / EFFECTIVE
    if not path.exists():
        raise Invalid(reason=f"there is no cloud in {state_dir}: start one with `novaflow up --state-dir {state_dir}`")
    return read(path)
