"""etc/setup.sh in a machine of stand-ins: no package, no user and no virtual environment of this one is touched."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = (
    "sh",
    "dirname",
    "cat",
    "sha256sum",
    "cut",
    "grep",
    "sleep",
    "date",
    "mktemp",
    "tail",
    "rm",
    "tee",
    "chmod",
    "mkdir",
    "env",
    "touch",
)
INSTALLED = "printf 'install ok installed'"


class Machine:
    """A checkout and a PATH in which the programs that change a machine only write down how they were called."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root, root / "bin"
        self.policy, self.calls = root / "policy-rc.d", root / "calls"
        self.bin.mkdir()
        (root / "etc").mkdir()
        shutil.copy(ROOT / "etc" / "setup.sh", root / "etc" / "setup.sh")
        for name in ("requirements.lock", "pyproject.toml"):
            (root / name).write_text(name)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.calls.touch()
        self.program("id", 'if [ "$1" = -u ]; then echo 0; fi')
        self.program("dpkg-query", INSTALLED)
        self.program("useradd", f'echo "useradd $*" >>{self.calls}')

    def program(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def with_python_packages(self) -> None:
        """As after a complete run."""
        content = b"".join((self.root / name).read_bytes() for name in ("requirements.lock", "pyproject.toml"))
        (self.root / ".venv").mkdir()
        (self.root / ".venv" / f".novaflow-{hashlib.sha256(content).hexdigest()[:16]}").touch()

    def start(self) -> subprocess.Popen[str]:
        """Run the script."""
        environ = {"PATH": str(self.bin), "POLICY_RC_D": str(self.policy), "TMPDIR": str(self.root)}
        command = [self.root / "etc" / "setup.sh"]
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self) -> tuple[int, str]:
        """Run the script to its end; gives its status and what it said."""
        process = self.start()
        output, _ = process.communicate(timeout=30)
        return process.returncode, output


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_second_run_says_one_word(machine: Machine) -> None:
    machine.with_python_packages()

    assert machine.run() == (0, "setup: ready\n")
    assert machine.calls.read_text() == ""


def test_without_root_and_sudo_it_says_what_an_administrator_must_do(machine: Machine) -> None:
    machine.program("id", "echo 1000")
    machine.program("dpkg-query", f'[ "$3" = mtools ] || {INSTALLED}')

    status, output = machine.run()

    assert status == 1
    assert "apt-get install --no-install-recommends mtools" in output
    assert not machine.policy.exists()


def test_packages_are_installed_while_services_may_not_start(machine: Machine) -> None:
    machine.with_python_packages()
    machine.program("dpkg-query", f'[ "$3" = mtools ] || {INSTALLED}')
    machine.program("apt-get", f'[ -x "$POLICY_RC_D" ] && echo "held: $*" >>{machine.calls}')

    status, _ = machine.run()

    assert status == 0
    assert machine.calls.read_text().splitlines()[-1] == "held: install -y -q --no-install-recommends mtools"
    assert not machine.policy.exists()


def test_what_apt_complains_of_is_shown_and_services_may_start_again(machine: Machine) -> None:
    machine.program("dpkg-query", f'[ "$3" = mtools ] || {INSTALLED}')
    machine.program("apt-get", "echo no space left; exit 100")

    status, output = machine.run()

    assert status == 1
    assert "no space left" in output
    assert not machine.policy.exists()


def test_an_administrators_own_policy_stays(machine: Machine) -> None:
    machine.policy.write_text("theirs")
    machine.program("dpkg-query", f'[ "$3" = mtools ] || {INSTALLED}')
    machine.program("apt-get", "exit 100")

    machine.run()

    assert machine.policy.read_text() == "theirs"


def test_an_interrupted_installation_ends_before_services_may_start_again(machine: Machine) -> None:
    machine.program("dpkg-query", f'[ "$3" = mtools ] || {INSTALLED}')
    machine.program(
        "apt-get", f'echo began >>{machine.calls}; sleep 1; [ -e "$POLICY_RC_D" ] && echo ended >>{machine.calls}'
    )
    process = machine.start()
    deadline = time.monotonic() + 20
    while "began" not in machine.calls.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)

    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 143
    assert machine.calls.read_text().split() == ["began", "ended"]
    assert not machine.policy.exists()


def test_only_what_the_packages_switched_on_is_switched_off(machine: Machine) -> None:
    machine.with_python_packages()
    machine.program("dpkg-query", f'[ "$3" = rabbitmq-server ] || {INSTALLED}')
    enabled = machine.root / "enabled"
    enabled.write_text("mariadb.service\n")
    machine.program("apt-get", f'[ "$1" = update ] || echo rabbitmq-server.service >>{enabled}')
    machine.program(
        "systemctl", f'case "$1" in is-enabled) grep -qx "$3" {enabled};; *) echo "$*" >>{machine.calls};; esac'
    )

    machine.run()

    assert machine.calls.read_text() == "disable --quiet rabbitmq-server.service\n"


def test_the_user_that_libvirt_insists_on_is_added_once(machine: Machine) -> None:
    machine.with_python_packages()
    machine.program("id", f'if [ "$1" = -u ]; then echo 0; else grep -q libvirt-qemu {machine.calls}; fi')

    machine.run()
    machine.run()

    assert machine.calls.read_text() == "useradd --system --no-create-home --user-group libvirt-qemu\n"


def test_a_half_made_virtual_environment_is_made_again(machine: Machine) -> None:
    broken = machine.root / ".venv" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.symlink_to(machine.root / "gone")
    machine.program(
        "python3",
        f"""case "$*" in
  "-m venv --clear .venv") echo venv >>{machine.calls}
     rm -rf .venv; mkdir -p .venv/bin; printf '#!/bin/sh\\necho "$*" >>{machine.calls}\\n' >.venv/bin/python; chmod +x .venv/bin/python;;
esac""",
    )

    status, output = machine.run()

    assert status == 0, output
    calls = machine.calls.read_text().splitlines()
    assert calls[0] == "venv"
    assert [call.split()[-2:] for call in calls[1:]] == [["-r", "requirements.lock"], ["-e", "."]]
    assert machine.run() == (0, "setup: ready\n")


def test_a_machine_without_a_python_that_is_new_enough_is_told_so(machine: Machine) -> None:
    machine.program("python3", "exit 1")

    assert machine.run() == (1, "setup: no Python 3.11 or newer with venv was found\n")
