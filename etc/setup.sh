#!/bin/sh
# Installs what novaflow needs and is not there yet: Debian or Ubuntu packages, the user that libvirt's embedded driver insists
# on, and a virtual environment with the locked Python packages. Never starts or reconfigures a system-wide service: what the
# packages would start is held back while they install, and left disabled. Safe to run again; does nothing when all is there.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="ca-certificates python3 python3-venv python3-dev gcc pkg-config
 libvirt-dev libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils
 e2fsprogs busybox-static syslinux syslinux-common mtools
 rabbitmq-server mariadb-server"
SERVICES="rabbitmq-server epmd mariadb libvirtd"

say() { printf 'setup: %s\n' "$*"; }

missing_packages() {
  for p in $PACKAGES; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$p"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n true 2>/dev/null || say "sudo may ask for your password"; sudo "$@"; fi
}

can_be_root() { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1; }

give_up() {
  say "this needs root, and neither root nor sudo is here. Ask an administrator to run:"
  [ -z "$missing" ] || printf '  apt-get install --no-install-recommends %s\n' "$missing"
  printf '  useradd --system --no-create-home --user-group libvirt-qemu   # only where novaflow will run as root\n'
  exit 1
}

install_packages() {
  say "installing: $missing"
  # policy-rc.d is Debian's own switch for 'install, but do not start anything'.
  held=
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    held=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
    as_root chmod +x /usr/sbin/policy-rc.d
  fi
  installed=0
  as_root apt-get update -qq || say "apt-get update failed; trying with the lists there are"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null || installed=$?
  [ -z "$held" ] || as_root rm -f /usr/sbin/policy-rc.d
  [ "$installed" = 0 ] || { say "apt-get could not install them (see above)"; exit 1; }
  if command -v systemctl >/dev/null 2>&1; then
    for s in $SERVICES; do
      case " $missing " in
        *" $s "* | *" $s-server "*) as_root systemctl disable --quiet "$s" >/dev/null 2>&1 || true ;;
      esac
    done
  fi
}

find_python() {
  for p in python3.13 python3.12 python3.11 python3; do
    if command -v "$p" >/dev/null 2>&1 &&
      "$p" -c 'import sys, venv, ensurepip; sys.exit(not ((3, 11) <= sys.version_info[:2]))' 2>/dev/null; then
      command -v "$p"
      return
    fi
  done
  say "no Python 3.11 or newer with venv was found"
  exit 1
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
  can_be_root || give_up
  install_packages
fi
# libvirt's privileged embedded driver refuses to start without this user, whatever qemu.conf says.
if [ "$(id -u)" = 0 ] && ! id libvirt-qemu >/dev/null 2>&1; then
  say "adding the system user libvirt-qemu"
  useradd --system --no-create-home --user-group libvirt-qemu
fi

stamp=.venv/.novaflow-$(cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
if [ ! -e "$stamp" ]; then
  python=$(find_python)
  say "installing the Python packages into .venv (a minute or two, libvirt's binding is compiled)"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  rm -f .venv/.novaflow-*
  : >"$stamp"
fi
say "ready"
