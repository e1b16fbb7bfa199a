#!/bin/sh
# Installs what novaflow needs and is not there yet: Debian or Ubuntu packages, the user that libvirt's embedded driver insists
# on, and a virtual environment with the locked Python packages. Never starts or reconfigures a system-wide service: what the
# packages would start is held back while they install, and left disabled. Safe to run again; does nothing when all is there.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="ca-certificates python3 python3-venv python3-dev gcc pkg-config
 libvirt-dev libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils
 e2fsprogs busybox-static syslinux syslinux-common mtools
 rabbitmq-server mariadb-server librabbitmq-dev"
# What those packages, and those they need, would have the machine start at every boot.
UNITS="rabbitmq-server.service epmd.service epmd.socket mariadb.service libvirtd.service libvirtd.socket virtlogd.socket virtlockd.socket"
# Debian's own switch for 'install, but do not start anything'.
POLICY=${POLICY_RC_D:-/usr/sbin/policy-rc.d}

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

held=''
child=''
log=''
clean_up() {
  if [ -n "$child" ]; then
    # dpkg must not be torn away half-way, nor find that it may start services after all.
    if [ -n "$held" ]; then say "waiting for apt-get to end"; else kill "$child" 2>/dev/null || true; fi
    wait "$child" || true
  fi
  [ -z "$held" ] || as_root rm -f "$POLICY"
  [ -z "$log" ] || rm -f "$log"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# patiently WHAT COMMAND...: run the command, showing the time it takes; what it prints is shown only when it fails.
patiently() {
  what=$1
  shift
  log=$(mktemp)
  began=$(date +%s)
  told=0
  "$@" >"$log" 2>&1 </dev/null &
  child=$!
  while kill -0 "$child" 2>/dev/null; do
    elapsed=$(($(date +%s) - began))
    if [ -t 1 ]; then
      printf '\rsetup: %s ... %s s ' "$what" "$elapsed"
    elif [ "$elapsed" -ge "$told" ]; then
      say "$what ... $elapsed s"
      told=$((elapsed + 15))
    fi
    sleep 0.2
  done
  status=0
  wait "$child" || status=$?
  child=''
  [ ! -t 1 ] || printf '\n'
  [ "$status" = 0 ] || tail -n 30 "$log"
  rm -f "$log"
  log=''
  return "$status"
}

enabled_units() {
  command -v systemctl >/dev/null 2>&1 || return 0
  for u in $UNITS; do
    if systemctl is-enabled --quiet "$u" 2>/dev/null; then printf '%s ' "$u"; fi
  done
}

install_packages() {
  before=" $(enabled_units)"
  [ "$(id -u)" = 0 ] || sudo -v
  if [ ! -e "$POLICY" ]; then
    held=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod +x "$POLICY"
  fi
  patiently "reading the package lists" as_root apt-get update -q || say "apt-get update failed; trying with the lists there are"
  # shellcheck disable=SC2086  # a list of words
  patiently "installing $missing" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $missing || {
    say "apt-get could not install them (see above)"
    exit 1
  }
  if [ -n "$held" ]; then
    as_root rm -f "$POLICY"
    held=''
  fi
  for u in $(enabled_units); do
    case "$before" in
      *" $u "*) ;; # it was the machine's before
      *) as_root systemctl disable --quiet "$u" >/dev/null 2>&1 || true ;;
    esac
  done
}

find_python() {
  # The distribution's own first: its headers are installed, and libvirt's binding is compiled against them.
  for p in python3 python3.13 python3.12 python3.11; do
    if command -v "$p" >/dev/null 2>&1 &&
      "$p" -c 'import sys, venv, ensurepip; sys.exit(not ((3, 11) <= sys.version_info[:2]))' 2>/dev/null; then
      command -v "$p"
      return
    fi
  done
  say "no Python 3.11 or newer with venv was found" >&2
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
  # Also mends one that was interrupted, or whose Python is gone.
  if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    patiently "making .venv with $python" "$python" -m venv --clear .venv
  fi
  patiently "installing the Python packages into .venv (libvirt's binding is compiled)" \
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
  patiently "installing novaflow into .venv" \
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  rm -f .venv/.novaflow-*
  : >"$stamp"
fi
say "ready"
