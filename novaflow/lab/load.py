"""A load generator for any OpenStack: tokens, single boots, boots in bulk, reads and deletes, through the public REST API only.

Its phases and figures are defined so that two clouds, or two versions of one, can be compared: closed loops (a client
sends its next request when the last is answered), the same polling interval everywhere, errors counted and never hidden.
"""

import asyncio
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import aiohttp

from novaflow.lab.figures import median_of, summary
from novaflow.lab.openstack import ApiError, OpenStack

PHASES: Final = ("token", "boot", "bulk", "reads", "delete")
_PAGE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much load, and how it is watched."""

    phases: tuple[str, ...] = PHASES
    runs: int = 1
    boots: int = 20  # one after another
    bulk: int = 200  # boots at `bulk_concurrency`
    bulk_concurrency: int = 16
    read_concurrency: tuple[int, ...] = (1, 8)
    seconds: float = 6.0  # of each closed loop
    poll: float = 0.02  # seconds between two looks at one server
    bulk_poll: float = 0.1  # seconds between two looks at the list
    timeout: float = 120.0  # seconds one server may take
    image_kib: int = 64
    flavor_ram_mb: int = 64
    flavor_disk_gb: int = 1


@dataclass
class Run:
    """One run of the plan against one cloud; `results` has a figure set per phase."""

    cloud: OpenStack
    plan: Plan
    image: str
    flavor: str
    tag: str
    results: dict[str, Any] = field(default_factory=dict)
    servers: list[str] = field(default_factory=list)

    async def phase(self, name: str) -> None:
        """Run one phase and keep its figures, with the machine's load and the client's own CPU beside them."""
        before, began, cpu = os.getloadavg()[0], time.perf_counter(), time.process_time()
        work: dict[str, Callable[[], Awaitable[Any]]] = {
            "token": self._tokens,
            "boot": self._boots,
            "bulk": self._bulk,
            "reads": self._reads,
            "delete": self._deletes,
        }
        self.results[name] = await work[name]()
        self.results[f"{name}_env"] = {
            "load_before": round(before, 2),
            "load_after": round(os.getloadavg()[0], 2),
            "wall_s": round(time.perf_counter() - began, 2),
            "client_cpu_s": round(time.process_time() - cpu, 2),
        }

    async def one_by_one(self, number: int) -> None:
        """Boot servers, each when the one before it is ACTIVE, and leave them."""
        for _ in range(number):
            self.servers.append(await self._boot(f"{self.tag}-o{len(self.servers)}"))
            await self._until_active(self.servers[-1])

    async def remove(self) -> None:
        """Delete the servers that the run has left."""
        for server in self.servers:
            await self.cloud.ask("DELETE", f"{self.cloud.compute}/servers/{server}", accept=(204, 404))
        self.servers.clear()

    async def _tokens(self) -> list[dict[str, Any]]:
        return [await closed_loop(self.cloud.issue_token, n, self.plan.seconds) for n in self.plan.read_concurrency]

    async def _boots(self) -> dict[str, Any]:
        posts, actives, deletes = [], [], []
        for number in range(self.plan.boots):
            began = time.perf_counter()
            server = await self._boot(f"{self.tag}-s{number}")
            posts.append(time.perf_counter() - began)
            await self._until_active(server)
            actives.append(time.perf_counter() - began)
            began = time.perf_counter()
            await self.cloud.delete_server(server)
            await self._until_gone(server)
            deletes.append(time.perf_counter() - began)
        return {
            "poll_ms": self.plan.poll * 1e3,
            "post": summary(posts),
            "active": summary(actives),
            "delete_gone": summary(deletes),
        }

    async def _boot(self, name: str) -> str:
        return await self.cloud.boot(name, self.image, self.flavor)

    async def _until_active(self, server_id: str) -> None:
        async with asyncio.timeout(self.plan.timeout):
            while (server := await self.cloud.server(server_id)) is None or server["status"] != "ACTIVE":
                if server is None or server["status"] == "ERROR":
                    raise ApiError(f"server {server_id}", 500, str(server and server.get("fault")))
                await asyncio.sleep(self.plan.poll)

    async def _until_gone(self, server_id: str) -> None:
        async with asyncio.timeout(self.plan.timeout):
            while await self.cloud.server(server_id) is not None:
                await asyncio.sleep(self.plan.poll)

    async def _bulk(self) -> dict[str, Any]:
        plan, name = self.plan, f"{self.tag}-b"
        posts: list[float] = []

        async def one(number: int) -> None:
            began = time.perf_counter()
            self.servers.append(await self._boot(f"{name}{number}"))
            posts.append(time.perf_counter() - began)

        began = time.perf_counter()
        await limited([lambda n=number: one(n) for number in range(plan.bulk)], plan.bulk_concurrency)  # type: ignore[misc]
        posted = time.perf_counter() - began
        await self._until_none(f"status=BUILD&name={name}")
        active = time.perf_counter() - began
        listed = await self.cloud.ask("GET", f"{self.cloud.compute}/servers/detail?limit={_PAGE}&name={name}")
        statuses: dict[str, int] = {}
        for server in listed["servers"]:
            statuses[server["status"]] = statuses.get(server["status"], 0) + 1
        return {
            "servers": plan.bulk,
            "concurrency": plan.bulk_concurrency,
            "post_total_s": round(posted, 2),
            "posts_per_s": round(plan.bulk / posted, 2),
            "post": summary(posts),
            "all_active_s": round(active, 2),
            "active_per_s": round(statuses.get("ACTIVE", 0) / active, 2),
            "statuses": statuses,
        }

    async def _until_none(self, query: str) -> bool:
        """Wait until the list with this query is empty; False when the time for it ran out."""
        url = f"{self.cloud.compute}/servers?limit=1&{query}"
        deadline = time.perf_counter() + self.plan.timeout * 3
        while (await self.cloud.ask("GET", url))["servers"]:
            if time.perf_counter() > deadline:
                return False
            await asyncio.sleep(self.plan.bulk_poll)
        return True

    async def _reads(self) -> dict[str, Any]:
        compute = self.cloud.compute
        kinds: dict[str, Callable[[], Awaitable[Any]]] = {
            "detail": lambda: self.cloud.ask("GET", f"{compute}/servers/detail?limit={_PAGE}"),
            "list": lambda: self.cloud.ask("GET", f"{compute}/servers?limit={_PAGE}"),
            "get": lambda: self.cloud.ask("GET", f"{compute}/servers/{random.choice(self.servers)}"),  # noqa: S311
        }
        found: dict[str, Any] = {"detail_servers": len((await kinds["detail"]())["servers"])}
        for kind, read in kinds.items():
            found[kind] = [await closed_loop(read, n, self.plan.seconds) for n in self.plan.read_concurrency]
        return found

    async def _deletes(self) -> dict[str, Any]:
        took: list[float] = []

        async def one(server_id: str) -> None:
            began = time.perf_counter()
            await self.cloud.delete_server(server_id)
            took.append(time.perf_counter() - began)

        count, began = len(self.servers), time.perf_counter()
        await limited([lambda s=server: one(s) for server in self.servers], self.plan.bulk_concurrency)  # type: ignore[misc]
        accepted = time.perf_counter() - began
        is_empty = await self._until_none(f"name={self.tag}-b")
        gone = time.perf_counter() - began
        self.servers.clear()
        return {
            "servers": count,
            "accepted_total_s": round(accepted, 2),
            "deletes_per_s": round(count / accepted, 2),
            "delete": summary(took),
            "all_gone_s": round(gone, 2),
            "gone_per_s": round(count / gone, 2),
            "is_empty": is_empty,
        }


async def closed_loop(ask: Callable[[], Awaitable[Any]], concurrency: int, seconds: float) -> dict[str, Any]:
    """`concurrency` clients, each sending its next request as soon as the last is answered, for `seconds`."""
    took: list[float] = []
    errors: list[str] = []
    began = time.perf_counter()

    async def client() -> None:
        while (sent := time.perf_counter()) < began + seconds:
            try:
                await ask()
                took.append(time.perf_counter() - sent)
            except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
                errors.append(f"{type(error).__name__}: {error}")

    await asyncio.gather(*(client() for _ in range(concurrency)))
    elapsed = time.perf_counter() - began
    counted = {"concurrency": concurrency, "per_s": round(len(took) / elapsed, 2), "errors": len(errors)}
    return {**counted, **({"first_error": errors[0][:300]} if errors else {}), **summary(took)}


async def limited(work: list[Callable[[], Awaitable[None]]], concurrency: int) -> None:
    """Do all of `work`, at most `concurrency` at a time."""
    waiting = list(reversed(work))

    async def worker() -> None:
        while waiting:
            await waiting.pop()()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


@asynccontextmanager
async def ready(cloud: OpenStack, plan: Plan) -> AsyncIterator[Callable[[], Run]]:
    """A flavor and an image for the load while the block runs; gives what starts a run with them."""
    tag = f"load-{uuid.uuid4().hex[:8]}"
    size = {"name": tag, "ram": plan.flavor_ram_mb, "vcpus": 1, "disk": plan.flavor_disk_gb}
    flavor = (await cloud.ask("POST", f"{cloud.compute}/flavors", json={"flavor": size}))["flavor"]["id"]
    facts = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
    image = await cloud.upload_image(tag, os.urandom(plan.image_kib * 1024), **facts)
    try:
        yield lambda: Run(cloud, plan, image, flavor, tag)
    finally:
        await cloud.login()
        await cloud.ask("DELETE", f"{cloud.compute}/flavors/{flavor}", accept=(202, 204, 404))
        await cloud.ask("DELETE", f"{cloud.image}/images/{image}", accept=(204, 404))


async def measure(cloud: OpenStack, plan: Plan, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Run `plan` against `cloud` and clean up; gives the plan, every run, and the median over the runs."""
    runs = []
    async with ready(cloud, plan) as new_run:
        for number in range(plan.runs):
            run = new_run()
            for phase in plan.phases:
                on_progress(f"run {number + 1} of {plan.runs}: {phase}")
                await run.phase(phase)
            await run.remove()
            runs.append(run.results)
    return {"plan": asdict(plan), "median": median_of(runs), "runs": runs}
