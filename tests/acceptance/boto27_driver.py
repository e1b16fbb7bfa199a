"""boto 2.27 on CPython 2.7, driven from outside: each line of standard input is an order, each line of standard output its answer.

An order is {"do": NAME, "with": {...}}, an answer {"done": ...} or {"refused": {"code": ..., "status": ...}}. The names are those of
tests/support/ec2_clients.py. Anything else that goes wrong ends the program with its traceback.
"""

import json
import os
import sys
import time

import boto
from boto.exception import EC2ResponseError

PAUSE = 0.2  # seconds; this boto has no waiters: who waits asks again


def connected():
    """As novaflow env --ec2 tells a shell; EC2_USE_SIGV4 in the environment is boto's own switch from version 2 to 4."""
    keys = os.environ["EC2_ACCESS_KEY"], os.environ["EC2_SECRET_KEY"]
    return boto.connect_ec2_endpoint(os.environ["EC2_URL"], *keys)


class Orders(object):
    """What can be ordered."""

    def __init__(self, ec2):
        self.ec2 = ec2

    def create_key(self, name):
        made = self.ec2.create_key_pair(name)
        return {"material": made.material, "fingerprint": made.fingerprint}

    def import_key(self, name, public):
        return self.ec2.import_key_pair(name, public.encode()).fingerprint

    def keys(self):
        return {key.name: key.fingerprint for key in self.ec2.get_all_key_pairs()}

    def delete_key(self, name):
        self.ec2.delete_key_pair(name)

    def images(self, filters):
        return [
            {"id": image.id, "name": image.name, "location": image.location, "state": image.state}
            for image in self.ec2.get_all_images(owners=["self"], filters=filters)
        ]

    def register(self, name, location):
        return self.ec2.register_image(name=name, image_location=location, architecture="x86_64")

    def allocate(self):
        return self.ec2.allocate_address().public_ip

    def release(self, address):
        self.ec2.release_address(address)

    def run(self, image, count, **more):
        made = self.ec2.run_instances(image, min_count=count, max_count=count, **more)
        return [instance.id for instance in made.instances]

    def find(self, filters):
        return [
            {"id": one.id, "tags": one.tags, "key": one.key_name, "state": one.state, "address": one.private_ip_address}
            for one in self.ec2.get_only_instances(filters=filters)
        ]

    def until(self, ids, state, seconds):
        for one in self.ec2.get_only_instances(instance_ids=ids):
            _until(one.update, state, seconds)

    def tag(self, ids, tags):
        self.ec2.create_tags(ids, tags)

    def console(self, instance):
        return (self.ec2.get_console_output(instance).output or b"").decode("utf-8", "replace")

    def stop(self, ids):
        return [one.state for one in self.ec2.stop_instances(ids)]

    def start(self, ids):
        return [one.state for one in self.ec2.start_instances(ids)]

    def terminate(self, ids):
        return [one.state for one in self.ec2.terminate_instances(ids)]

    def create_volume(self, size, snapshot):
        zone = self.ec2.get_all_zones()[0].name
        return self.ec2.create_volume(size, zone, snapshot=snapshot or None).id

    def attach(self, volume, instance, device):
        return self.ec2.attach_volume(volume, instance, device)

    def detach(self, volume):
        return self.ec2.detach_volume(volume)

    def attachment(self, volume):
        attached = self.ec2.get_all_volumes([volume])[0].attach_data
        return {"instance": attached.instance_id, "device": attached.device, "state": attached.status}

    def until_volume(self, volume, state, seconds):
        found = self.ec2.get_all_volumes([volume])[0]

        def ask():
            found.update()
            return found.status if state == "available" else found.attachment_state()

        _until(ask, state, seconds)

    def snapshot(self, volume, seconds):
        made = self.ec2.create_snapshot(volume, "of a test")

        def ask():
            made.update()
            return made.status

        _until(ask, "completed", seconds)
        return made.id

    def delete_snapshot(self, snapshot):
        self.ec2.delete_snapshot(snapshot)

    def delete_volume(self, volume, seconds):
        self.ec2.delete_volume(volume)
        _until(lambda: volume in self.volumes(), False, seconds)

    def volumes(self):
        return [volume.id for volume in self.ec2.get_all_volumes()]


def _until(ask, wanted, seconds):
    ends = time.time() + seconds
    while True:
        answer = ask()
        if answer == wanted:
            return
        if time.time() > ends:
            raise RuntimeError("after %s seconds %r, not %r" % (seconds, answer, wanted))
        time.sleep(PAUSE)


def main():
    """Answer until standard input ends."""
    orders = Orders(connected())
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        try:
            answer = {"done": getattr(orders, order["do"])(**order["with"])}
        except EC2ResponseError as error:
            answer = {"refused": {"code": error.error_code, "status": error.status}}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
