"""Long work that libvirt does as a domain's job: saving memory, copying a disk, migrating. One at a time per domain.

A job has no deadline of its own, for nobody knows how large a guest is; it is given up when it gets no further.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt import domains
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.leftovers import end_job
from novaflow.virt.libvirt.waiting import see_through

T = TypeVar("T")
Counts = tuple[tuple[str, int], ...]
Look = Callable[[libvirt.virConnect, Owner, str], Counts]
End = Callable[[libvirt.virConnect, Owner, str], None]

JOB_SECONDS: Final = 7 * 86400.0  # longer than anybody waits: what ends a job is that it stalls
STALL_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.2
_ABORT_SECONDS: Final = 60.0


async def watch(
    host: LibvirtHost, server_id: str, work: Coroutine[Any, Any, T], *, look: Look | None = None, end: End = end_job
) -> T:
    """The outcome of `work`, which is in a job of that domain. Stalled or cancelled, the job is aborted and the work has ended.

    `look` tells how far it is, `end` aborts it; without them it is the domain's job, not one of its disks'.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    seen: Counts = ()
    moved_at = loop.time()
    try:
        while not task.done():
            await asyncio.wait([task], timeout=LOOK_SECONDS)
            now_at = await host.run(look or _progress, server_id)
            if now_at != seen:
                seen, moved_at = now_at, loop.time()
            elif loop.time() - moved_at > STALL_SECONDS and not task.done():
                raise Refused(f"it got no further for {STALL_SECONDS:.0f} s")
        return task.result()
    finally:
        if not task.done():
            await see_through(_abort(host, server_id, task, end))
        if not task.cancelled():
            task.exception()  # where something else is raised its outcome is seen, so that nobody reports it as forgotten


async def _abort(host: LibvirtHost, server_id: str, task: "asyncio.Task[T]", end: End) -> None:
    with contextlib.suppress(libvirt.libvirtError, TimeoutError):
        await host.run(end, server_id)
    await asyncio.wait([task], timeout=_ABORT_SECONDS)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen: what ended the watch is what counts


def _progress(link: libvirt.virConnect, owner: Owner, server_id: str) -> Counts:
    """All the job's counters but its time; nothing when there is no job."""
    domain = domains.look(link, owner, server_id)
    try:
        stats = domain.jobStats(0) if domain else {}
    except libvirt.libvirtError:  # off or gone meanwhile: the work itself will say
        return ()
    return tuple(sorted((name, value) for name, value in stats.items() if "time" not in name and "bps" not in name))
