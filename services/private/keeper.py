"""Ends with its owner, and everything that it started ends with it, down to processes that made themselves daemons.

    python -m services.private.keeper COMMAND...

Every line on standard input starts COMMAND, and its process id is the answer, a line on standard output. When standard input
ends, which the kernel sees to should the owner be killed, the command gets SIGTERM and a while to end, and whatever is left of
it and its children is killed. Orphans come to us (PR_SET_CHILD_SUBREAPER), and are buried at once.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

GRACE: Final = 10.0  # seconds the command has to end by itself
_PR_SET_CHILD_SUBREAPER: Final = 36
_POLL: Final = 0.02  # seconds


def main(command: list[str]) -> int:
    """Until standard input ends or SIGTERM comes; the exit status."""
    _adopt_orphans()
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    started: subprocess.Popen[bytes] | None = None
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready and signal.SIGTERM in os.read(wake, 4096):
            break
        _bury()
        if 0 in ready:
            orders = os.read(0, 4096)
            if not orders:
                break
            started = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            os.write(1, b"%d\n" % started.pid)
    if started:
        _end(started.pid)
    _end_all()
    return 0


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _bury() -> None:
    """Every dead child."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end(pid: int) -> None:
    """Ask the command to end, and wait a while. It is our child, so its id is nobody else's until we bury it."""
    deadline = time.monotonic() + GRACE
    if pid not in _children():
        return
    os.kill(pid, signal.SIGTERM)
    while pid in _children() and time.monotonic() < deadline:
        time.sleep(_POLL)
        _bury()


def _end_all() -> None:
    """Kill our children until there are none: those that the killed leave behind become ours."""
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)  # a dead one that is not buried yet takes it quietly
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)
        _bury()


def _children() -> set[int]:
    """This process has one thread."""
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
