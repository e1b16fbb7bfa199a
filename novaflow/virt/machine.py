"""What this machine says of its processor, and its QEMU of itself."""

import asyncio
import os
import re
from pathlib import Path
from typing import Final

_SECONDS: Final = 10.0


def cpu_info(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, object]:
    """Architecture, vendor, model and features, under the names of Nova's cpu_info; what is not told is left out."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        text = ""
    facts: dict[str, object] = {"arch": os.uname().machine}
    for name, key in (("vendor", "vendor_id"), ("model", "model name"), ("features", "flags")):
        found = re.search(rf"^{key}\s*: (.*)$", text, re.MULTILINE)
        if found:
            facts[name] = found.group(1).split() if name == "features" else found.group(1).strip()
    return facts


async def qemu_version(program: str) -> int:
    """As libvirt counts it: 7.2.22 is 7002022; 0 when it does not say."""
    process = await asyncio.create_subprocess_exec(
        program, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 0
    found = re.search(rb"version (\d+)\.(\d+)\.(\d+)", said)
    return (
        sum(int(part) * factor for part, factor in zip(found.groups(), (10**6, 10**3, 1), strict=True)) if found else 0
    )
