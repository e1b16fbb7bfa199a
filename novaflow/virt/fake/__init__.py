"""A hypervisor that is none: guests are small files, and as strict as the real thing.

Its guests outlive the process, as QEMU outlives novaflow, because each is one file below the driver's directory that
is replaced atomically. It refuses what the libvirt driver refuses (novaflow.virt.checks) and passes the same contract tests, so that
whatever works on it works on libvirt; what it saves is the time and memory of a real guest.
"""

from novaflow.virt.fake.driver import FakeDriver
from novaflow.virt.fake.guest import FakeGuest
from novaflow.virt.fake.host import Before, FakeDelays

__all__ = ["Before", "FakeDelays", "FakeDriver", "FakeGuest"]
