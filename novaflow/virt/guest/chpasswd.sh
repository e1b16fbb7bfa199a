#!/bin/sh
# chpasswd(8) as the guest's agent calls it: a line `user:password` at a time, with -e already hashed. Nothing of it is in an argument.
# What is set is kept on the disk too, so that it outlives this boot.
umask 077
while IFS= read -r line; do
  user=${line%%:*}
  hash=${line#*:}
  [ "$1" = -e ] || hash=$(printf '%s' "$hash" | mkpasswd -m sha512 -P 0) || exit 1
  known=
  while IFS=: read -r name old rest; do
    [ "$name" != "$user" ] || { old=$hash; known=yes; }
    printf '%s:%s:%s\n' "$name" "$old" "$rest"
  done </etc/shadow >/etc/shadow.new
  if [ -z "$known" ]; then
    rm /etc/shadow.new
    echo "chpasswd: there is no user $user" >&2
    exit 1
  fi
  mv /etc/shadow.new /etc/shadow
done
[ ! -f /disk/boots ] || { cp /etc/shadow /disk/shadow && sync; }
