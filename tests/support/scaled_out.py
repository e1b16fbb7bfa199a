"""Two machines' worth of cloud on one: two of every service, each machine with its own state directory, ports and configuration.

As on real machines they share the broker, the database, the store of the images and the services' password, and clients and
services find the APIs through balancers.
"""

import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from novaflow.config import Compute, Config, Identity
from novaflow.lab.openstack import Credentials, OpenStack, connect
from novaflow.quotas import QuotaLimits
from services import settings
from services.cloud import ORDER
from services.ports import free_ports
from services.spans import read
from services.supervisor import Child, supervised
from tests.support.balancer import balanced

MACHINES: Final = ("a", "b")
_PORTS: Final = 6  # of one machine: identity, its admin port, image, compute, EC2, metadata


@dataclass(frozen=True)
class ScaledOut:
    """The cloud, and an administrator for each of its APIs, who talks to that one alone."""

    configs: Sequence[Config]
    children: Sequence[Child]
    clients: Sequence[OpenStack]

    def worked(self) -> Counter[tuple[str, str]]:
        """How often each machine's services were asked something, by machine and service: from the traces."""
        found: Counter[tuple[str, str]] = Counter()
        for machine, config in zip(MACHINES, self.configs, strict=True):
            for span in read(Path(config.state_dir) / "trace"):
                if span.kind in ("handle", "http.server"):
                    found[machine, span.service] += 1
        return found

    def logged(self) -> list[str]:
        """Everything that the services complained of."""
        logs = (Path(config.state_dir).parent / "log" for config in self.configs[:1])
        return [line for directory in logs for path in sorted(directory.glob("*.log")) for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    return [f"{path.stem}: {line}" for line in path.read_text(errors="replace").splitlines()]


@asynccontextmanager
async def scaled_out(directory: Path, bus: str, queues: str, database: str) -> AsyncIterator[ScaledOut]:
    """Two of every service on one broker and one database. The environment must hold NOVAFLOW_SERVICE_PASSWORD."""
    async with AsyncExitStack() as stack:
        ports = free_ports("127.0.0.1", _PORTS * len(MACHINES))
        of_service = [ports[number::_PORTS] for number in range(_PORTS)]
        urls = [f"http://127.0.0.1:{await stack.enter_async_context(balanced(each))}" for each in of_service]
        configs = [
            _config(directory / machine, machine, ports[number * _PORTS :][:_PORTS], urls)
            for number, machine in enumerate(MACHINES)
        ]
        configs = [
            msgspec.structs.replace(
                config,
                bus=msgspec.structs.replace(config.bus, url=bus, queues=queues),
                database=msgspec.structs.replace(config.database, url=database),
            )
            for config in configs
        ]
        _share_images([Path(config.state_dir) for config in configs])
        commands = dict(_commands(configs))
        children = await stack.enter_async_context(supervised(commands, directory / "log", 30.0, _nothing))
        clients = [await stack.enter_async_context(connect(_admin(config))) for config in configs]
        for client, config in zip(clients, configs, strict=True):
            client.compute = f"http://{config.api.host}:{config.api.port}/v2.1"
        yield ScaledOut(configs, children, clients)


def _config(state_dir: Path, machine: str, ports: Sequence[int], urls: Sequence[str]) -> Config:
    identity, admin, image, api, ec2, metadata = ports
    config = Config(
        state_dir=str(state_dir),
        identity=Identity(port=identity, admin_port=admin, url=urls[0], admin_password=_ADMIN_PASSWORD),
        compute=Compute(virt="fake", host=f"host-{machine}", heartbeat_interval=1.0),
        quota=QuotaLimits(instances=-1, cores=-1, ram=-1),
    )
    return msgspec.structs.replace(
        config,
        image=msgspec.structs.replace(config.image, port=image, url=urls[2]),
        api=msgspec.structs.replace(
            config.api,
            port=api,
            url=urls[3],
            ec2_port=ec2,
            ec2_url=f"{urls[4]}/services/Cloud",
            metadata_port=metadata,
            metadata_url=urls[5],
        ),
    )


_ADMIN_PASSWORD: Final = secrets.token_hex(8)  # the same for both


def _share_images(state_dirs: Sequence[Path]) -> None:
    """One directory for the images of all: what a network file system would be to real machines."""
    first, *others = (state_dir / "images" for state_dir in state_dirs)
    first.mkdir(mode=0o700, parents=True)
    for other in others:
        other.parent.mkdir(mode=0o700, parents=True)
        other.symlink_to(first)


def _commands(configs: Sequence[Config]) -> Iterator[tuple[str, Sequence[str]]]:
    for service in ORDER:
        for machine, config in zip(MACHINES, configs, strict=True):
            path = settings.save(config)
            start = (sys.executable, "-m", "services.cli", service, "--config", str(path), "--supervised")
            yield f"{service}-{machine}", start


def _admin(config: Config) -> Credentials:
    return Credentials(
        auth_url=f"{config.identity_url}/v3",
        user=config.identity.admin_user,
        password=config.identity.admin_password,
        project=config.identity.admin_project,
        region=config.identity.region,
    )


def _nothing(_children: Any) -> None:
    """Nobody asks who runs."""
