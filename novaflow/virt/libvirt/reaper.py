"""Who waits for QEMU processes that lost their parent.

libvirt detaches its QEMUs, so they would fall to process 1, and where that one reaps slowly every destroy takes seconds:
libvirt waits until the process is really gone. This process adopts them instead. libvirt's direct children are
left alone, for libvirt waits for those itself; a detached one is known by its session, which is not ours.
"""

import contextlib
import ctypes
import os
import select
import threading
from collections.abc import Iterator
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_WATCH_SECONDS: Final = 0.03  # between two looks while libvirt is at work, when new processes appear
_IDLE_SECONDS: Final = 1.0  # between two looks otherwise: a QEMU may come from a child process that was killed
_NAME: Final = "qemu-system"


class Reaper:
    """A thread that buries adopted QEMUs the moment they die."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._wake, select.POLLIN)
        self._watched: dict[int, int] = {}  # pid -> pidfd
        self._at_work = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Adopt from now on; raises OSError where the kernel refuses."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
        threading.Thread(target=self._run, name="qemu-reaper", daemon=True).start()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While libvirt is at work, look for new and dead QEMUs all the time."""
        with self._lock:
            self._at_work += 1
        self._nudge()
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
            self._nudge()

    def _nudge(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes the thread as well
            os.write(self._waker, b".")

    def _run(self) -> None:
        while True:
            for fd, _ in self._poll.poll(1000 * (_WATCH_SECONDS if self._at_work else _IDLE_SECONDS)):
                if fd == self._wake:
                    os.read(fd, 4096)
            self._look()

    def _look(self) -> None:
        """Bury the dead among the adopted and watch the living, so that their death wakes us."""
        found = dict(adopted())
        for pid in self._watched.keys() - found.keys():
            self._unwatch(pid)
        for pid, state in found.items():
            if state == "Z":
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                self._unwatch(pid)
            elif pid not in self._watched:
                with contextlib.suppress(ProcessLookupError):
                    self._watched[pid] = os.pidfd_open(pid)
                    self._poll.register(self._watched[pid], select.POLLIN)

    def _unwatch(self, pid: int) -> None:
        if pid in self._watched:
            fd = self._watched.pop(pid)
            self._poll.unregister(fd)
            os.close(fd)


def adopted() -> list[tuple[int, str]]:
    """Process id and state of every detached QEMU whose parent this process is."""
    ours = os.getsid(0)
    found = []
    for pid in _children():
        try:
            with open(f"/proc/{pid}/stat") as stream:
                name, _, rest = stream.read().partition("(")[2].rpartition(")")
        except OSError:  # gone meanwhile: its other parent was quicker
            continue
        state, _, _, session = rest.split()[:4]
        if name.startswith(_NAME) and int(session) != ours:
            found.append((pid, state))
    return found


def _children() -> Iterator[int]:
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as stream:
                yield from map(int, stream.read().split())
        except OSError:  # the thread ended
            continue
