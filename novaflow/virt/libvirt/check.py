"""Does a libvirt URI answer? A process of its own, because the embedded libvirt can be opened in one place per process.

    python -m novaflow.virt.libvirt.check qemu:///embed

says libvirt's and the hypervisor's version, or why it does not answer, and ends with status 1.
"""

import sys
import tempfile
from pathlib import Path

import libvirt

from novaflow.virt.libvirt.embed import CannotEmbed, prepare_root
from novaflow.virt.libvirt.reaper import Reaper


def main(uri: str) -> int:
    """One line on standard output; the exit status."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    reaper = Reaper()
    reaper.start()
    with tempfile.TemporaryDirectory(prefix="nf-") as directory, reaper.watching():
        try:
            if uri == "qemu:///embed":
                libvirt.virEventRegisterDefaultImpl()
                uri = f"{uri}?root={prepare_root(Path(directory))}"
            link = libvirt.open(uri)
            line = f"libvirt {_dotted(link.getLibVersion())}, {link.getType()} {_dotted(link.getVersion())}"
            link.close()
        except (libvirt.libvirtError, CannotEmbed, OSError) as error:
            sys.stdout.write(f"{error}\n")
            return 1
    sys.stdout.write(f"{line}\n")
    return 0


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
