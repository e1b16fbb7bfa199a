"""Two instances, their keys, their image and their volumes, from the first wish to the end: one story for every EC2 client.

The guests are the tiny Linux. What they say on their consoles, and nothing else, proves what they got.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tests.support.ec2_clients import PATIENCE, Ec2Client, Refused
from tests.support.linux_server import GUEST_IMAGE

KIND: Final = "m1.tiny"
KEY: Final = "made"
USER_DATA: Final = """#!/bin/sh
get() { timeout 20 wget -q -O - "http://169.254.169.254/latest/$1"; }
get user-data | grep -q "these are its words" && echo "user-data is served"
me=$(get meta-data/instance-id)
echo "i am $me of $(get meta-data/ami-id), number $(get meta-data/ami-launch-index), a $(get meta-data/instance-type)"
echo "my address is $(get meta-data/local-ipv4), my key $(get meta-data/public-keys/0/openssh-key)"
disks() { for path in /sys/block/vd*; do echo "${path##*/}"; done; }
own=" $(echo $(disks)) "
(had=; while sleep 1; do
  has=
  for disk in $(disks); do case $own in *" $disk "*) ;; *) has=$disk ;; esac; done
  if [ "$has" ] && [ ! "$had" ]; then
    read -r sectors <"/sys/block/$has/size"
    was=$(head -c 10 "/dev/$has" | tr -d '\\0')
    echo "a volume of $sectors sectors came with <$was>"
    if [ ! "$was" ]; then printf %s "$me" >"/dev/$has"; sync; echo "$me has written on it"; fi
  elif [ "$had" ] && [ ! "$has" ]; then echo "the volume went"; fi
  had=$has
done) &
echo "that was all"
"""
"""What a guest does once: tell what the metadata service tells it, then watch for a volume and be the first to write on it."""

_GIB: Final = 2  # of a volume; the disk of a KIND has another size
_KIB: Final = _GIB * 2**20
_SECTORS: Final = 2 * _KIB
_PAUSE: Final = 0.3


def life(ec2: Ec2Client) -> None:
    """All of it."""
    public = keys_are_made_and_imported(ec2)
    image = an_image_is_registered(ec2)
    two_addresses_are_asked_for_at_once(ec2)
    two = two_run_and_say_what_they_were_told(ec2, image, public)
    they_are_tagged_and_found(ec2, two)
    volumes, snapshot = a_volume_goes_from_guest_to_guest(ec2, *two)
    one_stops_and_starts_with_its_volume(ec2, two[0], volumes[1])
    all_ends(ec2, two, volumes, snapshot)


def keys_are_made_and_imported(ec2: Ec2Client) -> str:
    """Both are listed with Amazon's fingerprints. Gives the public half of the one that the cloud made."""
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    openssh = own.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    made = ec2.create_key(KEY)
    imported = ec2.import_key("imported", openssh)

    private = load_pem_private_key(made["material"].encode(), None)
    in_pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    of_own = own.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made["fingerprint"].replace(":", "") == hashlib.sha1(in_pkcs8).hexdigest()
    assert imported.replace(":", "") == hashlib.md5(of_own).hexdigest()
    assert ec2.keys() == {KEY: made["fingerprint"], "imported": imported}
    with pytest.raises(Refused, match=r"InvalidKeyPair.Duplicate \(400\)"):
        ec2.import_key(KEY, openssh)
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def an_image_is_registered(ec2: Ec2Client) -> str:
    """The one that the cloud offers, found by its name and registered by its location under another one."""
    (found,) = ec2.images(name=GUEST_IMAGE)

    registered = ec2.register("the guest", found["location"])

    assert registered == found["id"]
    assert ec2.images(name="the guest") == [found | {"name": "the guest"}]
    assert ec2.images(name=GUEST_IMAGE) == []
    with pytest.raises(Refused, match=r"InvalidManifest \(400\)"):
        ec2.register("nothing", "nowhere/image.manifest.xml")
    return registered


def two_addresses_are_asked_for_at_once(ec2: Ec2Client) -> None:
    """A signature covers the second alone: the client is told to ask again, does so by itself, and has two."""
    two = [ec2.allocate(), ec2.allocate()]

    assert len({*two}) == 2
    for address in two:
        ec2.release(address)


def two_run_and_say_what_they_were_told(ec2: Ec2Client, image: str, public: str) -> list[str]:
    """Each guest has fetched its own facts and the user data from the metadata service."""
    with pytest.raises(Refused, match=r"InvalidKeyPair.NotFound \(400\)"):
        ec2.run(image, 2, key="unknown", kind=KIND, user_data=USER_DATA)

    two = ec2.run(image, 2, key=KEY, kind=KIND, user_data=USER_DATA)
    ec2.until(two, "running")

    addresses = {one["id"]: one["address"] for one in ec2.find(**{"key-name": KEY})}
    assert sorted(addresses) == sorted(two)
    for number, instance in enumerate(two):
        said = says(ec2, instance, "that was all")
        assert "metadata fetched from 169.254.169.254" in said
        assert "user-data is served" in said
        assert f"i am {instance} of {image}, number {number}, a {KIND}" in said
        assert f"my address is {addresses[instance]}, my key {public}" in said
    return two


def they_are_tagged_and_found(ec2: Ec2Client, two: Sequence[str]) -> None:
    """By tags with wildcards and by their state."""
    ec2.tag(two, {"role": "web"})
    ec2.tag(two[:1], {"Name": "first"})

    (first,) = ec2.find(**{"tag:Name": "f*", "instance-state-name": "running"})
    both = ec2.find(**{"tag:role": "web"})

    assert (first["id"], first["tags"]) == (two[0], {"role": "web", "Name": "first"})
    assert {one["id"] for one in both} == set(two)
    assert ec2.find(**{"tag:role": "web", "instance-state-name": "stopped"}) == []


def a_volume_goes_from_guest_to_guest(ec2: Ec2Client, first: str, second: str) -> tuple[list[str], str]:
    """What one guest writes, the other reads; the first has a volume of a snapshot then. Gives the volumes and the snapshot."""
    volume = ec2.create_volume(_GIB)
    ec2.until_volume(volume, "available")
    give(ec2, volume, first)
    says(ec2, first, f"a volume of {_SECTORS} sectors came with <>", f"{first} has written on it")

    snapshot = ec2.snapshot(volume)
    assert ec2.detach(volume) == "detaching"
    ec2.until_volume(volume, "available")
    says(ec2, first, "the volume went")
    give(ec2, volume, second)
    says(ec2, second, f"a volume of {_SECTORS} sectors came with <{first}>")

    copy = ec2.create_volume(_GIB, snapshot)
    ec2.until_volume(copy, "available")
    give(ec2, copy, first)
    says(ec2, first, f"a volume of {_SECTORS} sectors came with <{first}>")
    with pytest.raises(Refused, match=r"VolumeInUse \(400\)"):
        ec2.delete_volume(copy)
    return [volume, copy], snapshot


def give(ec2: Ec2Client, volume: str, instance: str) -> None:
    """Attach a volume, until it is."""
    assert ec2.attach(volume, instance, "/dev/sdf") == "attaching"
    ec2.until_volume(volume, "attached")
    assert ec2.attachment(volume) == {"instance": instance, "device": "/dev/vdf", "state": "attached"}


def one_stops_and_starts_with_its_volume(ec2: Ec2Client, instance: str, volume: str) -> None:
    """The guest is asked to go down, goes down, and boots again."""
    assert ec2.stop([instance]) == ["stopping"]
    ec2.until([instance], "stopped")
    assert "power button, going down" in ec2.console(instance)
    assert ec2.attachment(volume)["state"] == "attached"

    assert ec2.start([instance])[0] in ("pending", "running")
    ec2.until([instance], "running")
    says(ec2, instance, "novaflow guest: boot 2", f"has {_KIB} kB\n")


def all_ends(ec2: Ec2Client, two: Sequence[str], volumes: Sequence[str], snapshot: str) -> None:
    """Instances end with their volumes attached, which outlive them; then everything goes."""
    assert {*ec2.terminate(two)} <= {"shutting-down", "terminated"}
    ec2.until(two, "terminated")
    for volume in volumes:
        ec2.until_volume(volume, "available")
        ec2.delete_volume(volume)
    ec2.delete_snapshot(snapshot)
    for name in (KEY, "imported"):
        ec2.delete_key(name)

    assert ec2.keys() == {}
    assert ec2.volumes() == []
    assert {one["state"] for one in ec2.find()} == {"terminated"}


def says(ec2: Ec2Client, instance: str, *words: str) -> str:
    """What a guest has said, once it has said all of these."""
    ends = time.monotonic() + PATIENCE
    while not all(each in (said := ec2.console(instance).replace("\r\n", "\n")) for each in words):
        assert time.monotonic() < ends, f"it did not say {words}, but {said!r}"
        time.sleep(_PAUSE)
    return said
