"""What one boot costs a running cloud: CPU, messages, transactions, statements.

Servers are booted one after another by a client that polls for ACTIVE, as the load generator does, and the counters of the
kernel, of MariaDB and of the trace are read before and after. The poll's reads are part of the cost; the deletes are not.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

from novaflow.config import Config
from novaflow.db.database import Database
from novaflow.db.statements import counted
from novaflow.lab.load import Plan, Run, ready
from novaflow.lab.messages import sent
from novaflow.lab.openstack import OpenStack
from services import processes, spans

_LEAST: Final = 50  # boots: the kernel counts CPU in hundredths of a second
_WARM_UP: Final = 5  # boots before the counting starts: the first one fetches the image
_SETTLE: Final = 1.0  # seconds until the last span is written


async def of_boots(cloud: OpenStack, config: Config, plan: Plan) -> dict[str, Any]:
    """The mean over many boots on a cloud with a MariaDB, its processes on this machine, and nobody else at work."""
    number = max(plan.boots, _LEAST)
    async with ready(cloud, plan) as new_run:
        run = new_run()
        await run.one_by_one(_WARM_UP)
        await asyncio.sleep(_SETTLE)
        database = await Database.open(config.database_url, config.database)
        try:
            return await _measured(run, database, Path(config.state_dir), number)
        finally:
            await database.close()
            await run.remove()


async def _measured(run: Run, database: Database, state_dir: Path, number: int) -> dict[str, Any]:
    statements, cpu, began = await counted(database), processes.cpu(state_dir), time.time()
    await run.one_by_one(number)
    spent = {name: seconds - cpu.get(name, 0.0) for name, seconds in processes.cpu(state_dir).items()}
    ran = {kind: count - statements[kind] for kind, count in (await counted(database)).items()}
    await asyncio.sleep(_SETTLE)
    messages = sent(spans.read(state_dir / "trace"), since=began)
    return {
        "boots": number,
        "cpu_ms": {name: round(seconds * 1e3 / number, 1) for name, seconds in spent.items() if seconds > 0},
        "cpu_ms_total": round(sum(spent.values()) * 1e3 / number, 1),
        "messages": round(sum(messages.values()) / number, 2),
        "messages_by_name": {name: round(count / number, 2) for name, count in sorted(messages.items())},
        "transactions": round(ran["commit"] / number, 2),
        "statements": round(sum(ran.values()) / number, 2),
        "statements_by_kind": {kind: round(count / number, 2) for kind, count in ran.items()},
    }
