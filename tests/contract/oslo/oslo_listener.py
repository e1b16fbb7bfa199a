"""An unmodified oslo.messaging notification listener, run under an environment of its own.

    python oslo_listener.py CONFIG_FILE TOPIC

Prints one JSON object per line: `ready`, then every notification that it heard. Ends with its standard input.
"""

import json
import sys

import oslo_messaging  # type: ignore[import-not-found,unused-ignore]  # not in the project's environment
from oslo_config import cfg  # type: ignore[import-not-found,unused-ignore]


class Endpoint:
    """Hears both priorities."""

    def info(self, *heard: object) -> None:
        self.note("info", *heard)

    def error(self, *heard: object) -> None:
        self.note("error", *heard)

    def note(  # type: ignore[no-untyped-def]
        self, priority, context, publisher_id, event_type, payload, metadata
    ) -> None:
        said = {
            "priority": priority,
            "context": context,
            "publisher_id": publisher_id,
            "event_type": event_type,
            "payload": payload,
            "metadata": sorted(metadata),
        }
        print(json.dumps(said), flush=True)


def main() -> None:
    path, topic = sys.argv[1:]
    config = cfg.CONF
    config(["--config-file", path], project="oslo_listener")
    transport = oslo_messaging.get_notification_transport(config)
    targets = [oslo_messaging.Target(topic=topic)]
    listener = oslo_messaging.get_notification_listener(transport, targets, [Endpoint()], executor="threading")
    listener.start()
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.read()
    listener.stop()
    listener.wait()


if __name__ == "__main__":
    main()
