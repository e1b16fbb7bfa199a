"""An unmodified oslo.messaging RPC client, run under an environment of its own and told what to do line by line.

    python oslo_client.py CONFIG_FILE [ALLOWED_EXCEPTION_MODULE ...]

Reads one JSON object per line: `do` is call or cast; `target` has the fields of oslo_messaging.Target, `options`
those of RPCClient.prepare, `context`, `method` and `args` are the request's. Answers with one line each: `result`, or
`error` with what a caller of oslo.messaging can know of it.
"""

import json
import sys

import oslo_messaging  # type: ignore[import-not-found,unused-ignore]  # not in the project's environment
from oslo_config import cfg  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    config = cfg.CONF  # the global one, as in every service: oslo.messaging looks for options of its own there
    config(["--config-file", sys.argv[1]], project="oslo_client")
    transport = oslo_messaging.get_rpc_transport(config, allowed_remote_exmods=sys.argv[2:])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(transport, json.loads(line))), flush=True)


def answer(transport: object, asked: dict) -> dict:  # type: ignore[type-arg]
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(**asked["target"]))
    prepared = client.prepare(**asked.get("options", {}))
    do = getattr(prepared, asked["do"])
    try:
        return {"result": do(asked.get("context", {}), asked["method"], **asked.get("args", {}))}
    except Exception as error:
        return {
            "error": {
                "class": type(error).__name__,
                "module": type(error).__module__,
                "bases": [base.__name__ for base in type(error).__mro__],
                "text": str(error),
                "exc_type": getattr(error, "exc_type", None),
                "value": getattr(error, "value", None),
            }
        }


if __name__ == "__main__":
    main()
