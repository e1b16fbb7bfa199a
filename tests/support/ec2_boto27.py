"""boto 2.27 as a client of `tests.support.ec2_clients`: a program on CPython 2.7 that is given orders line by line."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.clients import ROOT
from tests.support.ec2_clients import PATIENCE, Facts, Refused

DRIVER: Final = ROOT / "tests" / "acceptance" / "boto27_driver.py"
_LAST_WORDS: Final = 10  # seconds it has to end


class Boto27:
    """The program while it runs. Use `boto27`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def create_key(self, name: str) -> Facts:
        return dict(self._order("create_key", name=name))

    def import_key(self, name: str, public: str) -> str:
        return str(self._order("import_key", name=name, public=public))

    def keys(self) -> dict[str, str]:
        return dict(self._order("keys"))

    def delete_key(self, name: str) -> None:
        self._order("delete_key", name=name)

    def images(self, **filters: str) -> list[Facts]:
        return list(self._order("images", filters=filters))

    def register(self, name: str, location: str) -> str:
        return str(self._order("register", name=name, location=location))

    def allocate(self) -> str:
        return str(self._order("allocate"))

    def release(self, address: str) -> None:
        self._order("release", address=address)

    def run(self, image: str, count: int, *, key: str, kind: str, user_data: str) -> list[str]:
        more = {"key_name": key, "instance_type": kind, "user_data": user_data}
        return list(self._order("run", image=image, count=count, **more))

    def find(self, **filters: str) -> list[Facts]:
        return list(self._order("find", filters=filters))

    def until(self, ids: Sequence[str], state: str) -> None:
        self._order("until", ids=ids, state=state, seconds=PATIENCE)

    def tag(self, ids: Sequence[str], tags: Mapping[str, str]) -> None:
        self._order("tag", ids=ids, tags=tags)

    def console(self, instance: str) -> str:
        return str(self._order("console", instance=instance))

    def stop(self, ids: Sequence[str]) -> list[str]:
        return list(self._order("stop", ids=ids))

    def start(self, ids: Sequence[str]) -> list[str]:
        return list(self._order("start", ids=ids))

    def terminate(self, ids: Sequence[str]) -> list[str]:
        return list(self._order("terminate", ids=ids))

    def create_volume(self, size: int, snapshot: str = "") -> str:
        return str(self._order("create_volume", size=size, snapshot=snapshot))

    def attach(self, volume: str, instance: str, device: str) -> str:
        return str(self._order("attach", volume=volume, instance=instance, device=device))

    def detach(self, volume: str) -> str:
        return str(self._order("detach", volume=volume))

    def attachment(self, volume: str) -> Facts:
        return dict(self._order("attachment", volume=volume))

    def until_volume(self, volume: str, state: str) -> None:
        self._order("until_volume", volume=volume, state=state, seconds=PATIENCE)

    def snapshot(self, volume: str) -> str:
        return str(self._order("snapshot", volume=volume, seconds=PATIENCE))

    def delete_snapshot(self, snapshot: str) -> None:
        self._order("delete_snapshot", snapshot=snapshot)

    def delete_volume(self, volume: str) -> None:
        self._order("delete_volume", volume=volume, seconds=PATIENCE)

    def volumes(self) -> list[str]:
        return list(self._order("volumes"))

    def _order(self, name: str, /, **arguments: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": name, "with": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, (
            f"it ended with {self._process.wait(_LAST_WORDS)} over {name}; its traceback is on our standard error"
        )
        answer = json.loads(line)
        if "refused" in answer:
            raise Refused(**answer["refused"])
        return answer["done"]


@contextmanager
def boto27(bin_directory: Path, printed: Mapping[str, str], **environ: str) -> Iterator[Boto27]:
    """The program, with what `novaflow env --ec2` prints and nothing of ours but PATH; `environ` may add switches of boto's."""
    process = subprocess.Popen(
        [bin_directory / "python", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(bin_directory), **printed, **environ},
        text=True,
    )
    try:
        yield Boto27(process)
    finally:
        try:
            process.communicate(timeout=_LAST_WORDS)  # which closes its standard input first
        except subprocess.TimeoutExpired:  # it waits for something that we have given up
            process.kill()
            process.communicate()
