#!/bin/busybox sh
# Process 1 of novaflow's tiny guest. It reads the config drive, does what it says, and tells the serial console about it.
# Emulated CPUs make every process dear, so values are cut out of the JSON by the shell itself.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1

# On the serial console, and on the screen where there is one.
say() {
  echo "novaflow guest: $*"
  if [ -c /dev/tty0 ]; then echo "novaflow guest: $*" >/dev/tty0; fi
}
uptime_now() { read -r now _ </proc/uptime; }

# value KEY JSON: the first string or number of that key, in $found
value() {
  case $2 in *"\"$1\""*) ;; *) found=; return ;; esac
  found=${2#*\"$1\"}
  found=${found#:}
  found=${found# }
  case $found in
    '"'*) found=${found#\"}; found=${found%%\"*} ;;
    *) found=${found%%[,\}]*} ;;
  esac
}

load_modules() {
  for module in /lib/modules/*.ko; do insmod "$module" || say "module ${module##*/} cannot be loaded"; done
}

# The disk's own file system is the second partition of our whole-disk image, or all of a disk that is booted with a kernel beside it.
mount_disk() {
  for device in /dev/vda2 /dev/vda; do
    [ -b "$device" ] && mount -t ext2 "$device" /disk 2>/dev/null && return
  done
  say "no file system on the disk: nothing is kept"
}

count_boots() {
  boots=0
  [ -f /disk/boots ] && read -r boots </disk/boots
  boots=$((boots + 1))
  echo "$boots" >/disk/boots
  sync # a hard reboot may come at any time
  say "boot $boots"
}

# What the flavor gave it, and what it has kept.
describe() {
  read -r _ memory _ </proc/meminfo # the first line is MemTotal
  say "$(nproc) processors, $memory kB of memory"
  while read -r _ _ size disk; do
    case $disk in vd?) say "disk $disk has $size kB" ;; esac
  done </proc/partitions
  cd /disk
  set -- *
  cd /
  say "files $*"
}

# It is the last disk, after the root disk and the ephemeral and swap disks that there may be.
find_config_drive() {
  for device in /dev/vdb /dev/vdc /dev/vdd /dev/vde /dev/vda /dev/sr0; do
    [ -b "$device" ] && mount -t iso9660 -o ro "$device" /config 2>/dev/null && return
  done
  return 1
}

# qemu-guest-agent, where it is packed and the host gave it its port. The password that it has set is kept on the disk.
start_agent() {
  [ -x /bin/qemu-ga ] || return
  echo 'root:x:0:0:root:/root:/bin/sh' >/etc/passwd
  if [ -f /disk/shadow ]; then
    cp /disk/shadow /etc/shadow
    say "root has the password of an earlier boot"
  else
    echo 'root:*:20000:0:99999:7:::' >/etc/shadow
  fi
  for port in /sys/class/virtio-ports/*; do
    [ -f "$port/name" ] && read -r name <"$port/name" || continue
    [ "$name" = org.qemu.guest_agent.0 ] || continue
    qemu-ga -m virtio-serial -p "/dev/${port##*/}" -t /run -f /run/qemu-ga.pid -l /run/qemu-ga.log &
    say "agent started"
  done
}

asks_metadata_service() {
  case " $(cat /proc/cmdline) " in *" metadata "*) return ;; esac
  return 1
}

fetch() { timeout 20 wget -q -O "$2" "http://169.254.169.254/$1"; }

# The same files as on a config drive, from the metadata service. The address comes by DHCP.
ask_metadata_service() {
  cat >/run/dhcp <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ifconfig "$interface" "$ip" netmask "$subnet" up
[ -n "$router" ] && route add default gw "$router"
exit 0
END
  chmod 700 /run/dhcp
  [ -e /sys/class/net/eth0 ] || return 1
  ip link set eth0 up
  udhcpc -i eth0 -n -q -t 5 -T 2 -s /run/dhcp >/dev/null 2>&1 || return 1
  mkdir -p /config/openstack/latest /config/openstack/content
  fetch openstack/latest/ /run/listing || return 1
  while read -r name || [ -n "$name" ]; do
    fetch "openstack/latest/$name" "/config/openstack/latest/$name"
    name=
  done </run/listing
  number=0
  while at=content/$(printf %04d "$number"); fetch "openstack/$at" "/config/openstack/$at" 2>/dev/null; do
    number=$((number + 1))
  done
  say "metadata fetched from 169.254.169.254"
}

read_config_drive() {
  metadata=
  read -r metadata </config/openstack/latest/meta_data.json
  value uuid "$metadata"; id=$found
  say "instance-id $id"
  value hostname "$metadata"
  hostname "$found"
  say "hostname $found"
  install_key
  install_files
  [ -f /config/openstack/latest/user_data ] && cp /config/openstack/latest/user_data /run/user-data
}

install_key() {
  case $metadata in *'"keys":'*) ;; *) return ;; esac
  value data "${metadata#*\"keys\"}"
  mkdir -p /root/.ssh
  printf '%b\n' "$found" >/root/.ssh/authorized_keys
  chmod 600 /root/.ssh/authorized_keys
  say "public key installed"
}

install_files() {
  case $metadata in *'"files":'*) ;; *) return ;; esac
  rest=${metadata#*\"files\":}
  rest=${rest%%]*}
  while value path "$rest"; [ -n "$found" ]; do
    path=$found
    value content_path "$rest"
    mkdir -p "${path%/*}/"
    cp "/config/openstack$found" "$path" && say "file $path installed"
    rest=${rest#*\}}
  done
}

bring_up_network() {
  network=
  [ -f /config/openstack/latest/network_data.json ] && read -r network </config/openstack/latest/network_data.json
  ip link set lo up
  rest=${network#*\"networks\"}
  number=0
  while value ip_address "$rest"; [ -n "$found" ]; do
    address=$found
    value netmask "$rest"; netmask=$found
    value gateway "$rest"
    if [ -e "/sys/class/net/eth$number" ]; then
      ifconfig "eth$number" "$address" netmask "$netmask" up
      [ "$number" = 0 ] && [ -n "$found" ] && route add default gw "$found" 2>/dev/null
      say "eth$number has $address netmask $netmask"
    fi
    rest=${rest#*ip_address}
    number=$((number + 1))
  done
}

# As cloud-init does: a script runs once in the life of a server, not at every boot.
run_user_data() {
  [ -f /run/user-data ] || return
  if [ -n "$id" ] && [ -f /disk/user-data-ran ] && read -r before </disk/user-data-ran && [ "$before" = "$id" ]; then
    say "user-data ran at the first boot"
    return
  fi
  read -r first </run/user-data
  case $first in
    '#!'*) ;;
    *) say "user-data is not a script"; return ;;
  esac
  chmod 700 /run/user-data
  say "user-data begins"
  /run/user-data
  say "user-data ended with $?"
  echo "$id" >/disk/user-data-ran
  sync
}

shut_down() {
  uptime_now
  say "$1, going down after $now s"
  umount /disk 2>/dev/null
  sync
  poweroff -f
}

# A button press is an event of type EV_KEY (1), code KEY_POWER (116), value 1.
await_power_button() {
  while set -- $(dd if="$1" bs=24 count=1 2>/dev/null | od -An -tu2 -j16) "$1"; do
    [ "$1 $2 $3" = "1 116 1" ] && shut_down "power button"
    shift $(($# - 1))
    [ -e "$1" ] || return
  done
}

say "booting"
load_modules
mount_disk
count_boots
describe
start_agent
id=
if ! asks_metadata_service && find_config_drive; then
  read_config_drive
elif ask_metadata_service; then
  read_config_drive
else
  say "no config drive and no metadata service"
fi
for event in /dev/input/event*; do
  [ -e "$event" ] && await_power_button "$event" &
done
bring_up_network
run_user_data
umount /config 2>/dev/null
uptime_now
say "ready after $now s"
case " $(cat /proc/cmdline) " in *" shell "*) setsid cttyhack sh ;; esac
while :; do sleep 3600; done
