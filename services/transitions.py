"""Every move of a server as a span, so that a trace shows what was recorded between the messages."""

from collections.abc import Callable

from novaflow.db.transitions import Transition
from rpc.tracing import Tracer


def traced(tracer: Tracer) -> Callable[[Transition], None]:
    """What novaflow.db.servers.Servers tells of each transition, as an event of kind `db`."""

    def record(moved: Transition) -> None:
        tracer.event(
            "db",
            f"{moved.before or 'new'} -> {moved.after}",
            {
                "server_id": moved.server_id,
                "task_id": moved.task_id,
                "event": moved.event,
                "before": str(moved.before),
                "after": str(moved.after),
                "host": moved.host,
            },
        )

    return record
