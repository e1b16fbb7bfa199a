"""Whether QEMU can make its end of a wire in a guest's directory: a pure function of what libvirt says of itself.

It can where it is the user that we are and no security module confines it.
"""

import xml.etree.ElementTree as ET
from typing import Final

OLDEST_QEMU: Final = 7_002_000  # the first that has -netdev dgram


def can_have_wires(capabilities: str, *, qemu_version: int, uid: int) -> bool:
    """Of libvirt's capabilities; `uid` is who we are."""
    models = ET.fromstring(capabilities).iterfind("host/secmodel")  # noqa: S314 - it is libvirt who answers
    return qemu_version >= OLDEST_QEMU and all(_lets(model, uid) for model in models)


def _lets(model: ET.Element, uid: int) -> bool:
    match model.findtext("model"):
        case "none":
            return True
        case "dac":
            return all((label.text or "").startswith(f"+{uid}:") for label in model.iterfind("baselabel"))
        case _:
            return False
