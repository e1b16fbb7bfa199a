"""How many messages a piece of work put on the bus, counted in the spans it left."""

from collections import Counter
from collections.abc import Iterable

from rpc.tracing import Span

_QUESTION_AND_ANSWER = 2


def sent(spans: Iterable[Span], since: float) -> Counter[str]:
    """Messages about servers by what was sent, from `since` (epoch seconds) on: one for a cast, two for a call.

    What hosts say of themselves at intervals is about no server and not counted.
    """
    counted: Counter[str] = Counter()
    for span in spans:
        if span.kind == "publish" and span.start >= since and "server_id" in span.attributes:
            counted[span.name] += _QUESTION_AND_ANSWER if span.name.startswith("call ") else 1
    return counted
