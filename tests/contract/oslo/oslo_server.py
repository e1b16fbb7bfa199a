"""An unmodified oslo.messaging RPC server, run under an environment of its own.

    python oslo_server.py CONFIG_FILE TOPIC SERVER VERSION

Prints one JSON object per line: `ready`, then every request that it took. Ends with its standard input.
"""

import json
import sys
import time

import oslo_messaging  # type: ignore[import-not-found,unused-ignore]  # not in the project's environment
from oslo_config import cfg  # type: ignore[import-not-found,unused-ignore]


class TooHot(Exception):
    """An error that only this side knows."""


class Endpoint:
    """What the tests call."""

    def __init__(self, server: str, version: str) -> None:
        self.server = server
        self.target = oslo_messaging.Target(version=version)

    def echo(self, context: dict, text: str, number: int = 0) -> dict:  # type: ignore[type-arg]
        self.note("echo", context, text=text)
        return {"server": self.server, "text": text, "number": number, "context": context}

    def fail(self, context: dict, text: str) -> None:  # type: ignore[type-arg]
        raise TooHot(text)

    def slow(self, context: dict, seconds: float) -> dict:  # type: ignore[type-arg]
        time.sleep(seconds)
        return {"server": self.server, "text": "at last", "number": 0, "context": context}

    def nothing(self, context: dict) -> None:  # type: ignore[type-arg]
        return None

    def take(self, context: dict, text: str, number: int = 0) -> None:  # type: ignore[type-arg]
        self.note("take", context, text=text)

    def hear(self, context: dict, text: str, number: int = 0) -> None:  # type: ignore[type-arg]
        self.note("hear", context, text=text)

    def note(self, method: str, context: dict, **args: str) -> None:  # type: ignore[type-arg]
        print(json.dumps({"method": method, "server": self.server, "context": context, **args}), flush=True)


def main() -> None:
    path, topic, server, version = sys.argv[1:]
    config = cfg.CONF  # the global one, as in every service: oslo.messaging looks for options of its own there
    config(["--config-file", path], project="oslo_server")
    transport = oslo_messaging.get_rpc_transport(config)
    target = oslo_messaging.Target(topic=topic, server=server)
    serving = oslo_messaging.get_rpc_server(transport, target, [Endpoint(server, version)], executor="threading")
    serving.start()
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.read()
    serving.stop()
    serving.wait()


if __name__ == "__main__":
    main()
