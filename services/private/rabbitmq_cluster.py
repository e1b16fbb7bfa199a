"""A RabbitMQ cluster of our own: several private nodes on this machine that are one broker.

Each node is a process with its own name, ports and directory, so that one can be killed while the others serve. It shows what
survives the loss of a node; it does not survive the loss of the machine.
"""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from services.ports import free_ports
from services.private.rabbitmq import BrokerFailed, PrivateRabbitMQ
from services.private.server import LOOPBACK
from services.private.startable import Startable

# A node that sees only a minority stops serving instead of going its own way. Three nodes on one machine share its memory,
# and the log of a quorum queue must not take half a gigabyte of each.
_CONFIG: Final = """\
cluster_partition_handling = pause_minority
vm_memory_high_watermark.relative = 0.15
raft.wal_max_size_bytes = 64000000
"""
# Discovery happens at the first start of a node only: later it knows its cluster.
_JOIN: Final = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {seed}
"""


class PrivateCluster(Startable):
    """`size` nodes below `root`, a directory of their own. The first is the one that the others join at their first start.

    Each of `nodes` may be killed, started and restarted by itself; to end them all, stop the cluster.
    """

    def __init__(self, root: Path, size: int = 3) -> None:
        if size < 1:
            raise ValueError(f"size is {size}: a cluster has at least one node")
        (epmd_port,) = free_ports(LOOPBACK, 1)
        cookie, password = secrets.token_hex(16), secrets.token_hex(16)
        nodes: list[PrivateRabbitMQ] = []
        for number in range(1, size + 1):
            join = _JOIN.format(seed=nodes[0].node) if nodes else ""
            nodes.append(
                PrivateRabbitMQ(
                    root / f"node-{number}",
                    config=_CONFIG + join,
                    epmd_port=epmd_port,
                    cookie=cookie,
                    password=password,
                )
            )
        self.nodes: Final[Sequence[PrivateRabbitMQ]] = tuple(nodes)

    @property
    def url(self) -> str:
        """Every node, with the credentials of the one user: `amqp://user:password@host:port,host:port,host:port/`."""
        first, *others = self.nodes
        hosts = ",".join([first.url.removesuffix("/"), *(f"{LOOPBACK}:{node.port}" for node in others)])
        return f"{hosts}/"

    @property
    def user(self) -> str:
        """The one user, an administrator."""
        return self.nodes[0].user

    async def start(self) -> None:
        """Start whichever nodes do not run, and wait until all are members that run; raises BrokerFailed."""
        if all(node.pid is not None for node in self.nodes):
            return
        # The first is there before the others look for it. After a stop of all it is also the one that was last to stop,
        # for which the others would have to wait.
        await self.nodes[0].start()
        async with asyncio.TaskGroup() as starting:
            for node in self.nodes[1:]:
                starting.create_task(node.start())
        running = await self.nodes[0].ctl("eval", "rabbit_nodes:all_running().")
        missing = [node.node for node in self.nodes if node.node not in running]
        if missing:
            raise BrokerFailed(f"{', '.join(missing)} did not join the cluster")

    async def stop(self) -> None:
        """End every node cleanly, by force if it does not end in time."""
        async with AsyncExitStack() as last_first:
            for node in self.nodes:
                last_first.push_async_callback(node.stop)

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on a node that runs and return its output; raises BrokerFailed."""
        for node in self.nodes:
            if node.pid is not None:
                return await node.ctl(*arguments)
        raise BrokerFailed("no node of the cluster runs")
