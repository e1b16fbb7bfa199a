"""What a libvirt that was killed while it gave QEMU a disk has left in QEMU, where the next libvirt knows nothing of it.

QEMU has the disk's file open under names (libvirt-3-storage) that libvirt notes when it is done. So the next one counts from before them,
and is refused as the name is taken or the file locked. libvirt goes on counting when it is refused: the try after that has the next name. A
file that QEMU holds in vain it is told to close, and a disk that the guest has got already is asked back.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import libvirt
import libvirt_qemu

_TAKEN: Final = "Duplicate nodes with node-name"
_LOCKED: Final = 'Failed to get "write" lock'
_TRIES: Final = 8  # one libvirt leaves one or two names
_PROTOCOL: Final = "file"  # the driver of the lower of a disk's two nodes
_LET_GO_SECONDS: Final = 17.0
_ASK_SECONDS: Final = 5.5  # between two askings; for 5 s after one QEMU refuses the next
_LOOK_SECONDS: Final = 0.1
_UNLOCK_SECONDS: Final = 0.3  # what has just been closed may be locked a moment longer
_DEVICES: Final = "/machine/peripheral/"
_REFUSED: Final[list[Any]] = []


def beside_leftovers(domain: libvirt.virDomain, path: str, act: Callable[[], object]) -> None:
    """Do what has QEMU open the file at `path`, which libvirt does not know it to have; where leftovers are in the way, without them.

    Raises libvirtError, also when a guest does not answer that shall let a disk go.
    """
    is_closed = False
    for left in reversed(range(_TRIES)):
        try:
            act()
        except libvirt.libvirtError as error:
            is_taken, is_locked = _TAKEN in str(error), _LOCKED in str(error)
            if left == 0 or not (is_taken or is_locked):
                raise
            is_closed = _close(domain, path) or is_closed
            if is_locked and not is_closed:
                raise
            if is_locked:
                time.sleep(_UNLOCK_SECONDS)
        else:
            return


def _close(domain: libvirt.virDomain, path: str) -> bool:
    """Whether QEMU had the file open, and has not any more."""
    nodes = [node for node in _command(domain, "query-named-block-nodes", flat=True) if node.get("file") == path]
    names = {node["node-name"] for node in nodes}
    _ask_back(domain, names)
    upper_first = sorted(nodes, key=lambda node: bool(node["drv"] == _PROTOCOL))
    answers = [_command(domain, "blockdev-del", **{"node-name": node["node-name"]}) for node in upper_first]
    return bool(answers) and answers[-1] != _REFUSED


def _ask_back(domain: libvirt.virDomain, names: set[str]) -> None:
    """Have the guest let go of the disks that are these nodes: asked again, since one that is busy may miss an asking."""
    now = ask_at = time.monotonic()
    ends = now + _LET_GO_SECONDS
    while (devices := set(_devices(domain, names))) and now < ends:
        if now >= ask_at:
            ask_at = now + _ASK_SECONDS
            for device in devices:
                _command(domain, "device_del", id=device)
        time.sleep(_LOOK_SECONDS)
        now = time.monotonic()


def _devices(domain: libvirt.virDomain, names: set[str]) -> Iterator[str]:
    """The ids of the guest's disks that are these nodes."""
    for block in _command(domain, "query-block"):
        if block.get("inserted", {}).get("node-name") in names and block.get("qdev", "").startswith(_DEVICES):
            yield block["qdev"].removeprefix(_DEVICES).partition("/")[0]


def _command(domain: libvirt.virDomain, name: str, **arguments: object) -> Any:
    """What QEMU answers; _REFUSED when it refuses."""
    said = libvirt_qemu.qemuMonitorCommand(domain, json.dumps({"execute": name, "arguments": arguments}), 0)
    return json.loads(said).get("return", _REFUSED)
