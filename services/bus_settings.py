"""The configuration's words for the bus, checked."""

import difflib

import msgspec

from novaflow.config import Bus
from novaflow.errors import Invalid
from rpc.settings import DURABLE, BusSettings, ProcedureSettings


def bus_settings(bus: Bus) -> BusSettings:
    """What the bus is to be told; raises Invalid naming the key that cannot be, or the procedure that there is none of."""
    if bus.procedures:
        _check_names(bus)
    try:
        settings = BusSettings(
            delivery=bus.delivery,
            queues=bus.queues,
            prefetch=bus.prefetch,
            publish_timeout=bus.publish_timeout,
            retries=bus.retries,
            retry_delay=bus.retry_delay,
            drain_timeout=bus.drain_timeout,
            procedures={
                name: ProcedureSettings(**msgspec.structs.asdict(procedure))
                for name, procedure in bus.procedures.items()
            },
        )
    except ValueError as error:
        raise Invalid(reason=f"bus: {error}") from error
    _check_promise(bus, settings)
    return settings


def _check_promise(bus: Bus, settings: BusSettings) -> None:
    """Nobody should believe durable what the broker forgets."""
    wanting = [f'procedures."{name}"' for name, one in bus.procedures.items() if one.delivery == DURABLE]
    if settings.delivery == DURABLE:
        wanting.append("delivery")
    if wanting and not settings.keeps_queues:
        raise Invalid(
            reason=f"bus: {wanting[0]} is durable, and a broker forgets its transient queues: "
            'queues must be "durable" or "quorum" then'
        )


def _check_names(bus: Bus) -> None:
    # Imported on demand: a configuration that names no procedure needs no message.
    from services.procedures import procedures

    known = procedures()
    for name in bus.procedures:
        if name not in known:
            meant = difflib.get_close_matches(name, known, n=1)
            hint = f"is {meant[0]} meant?" if meant else f"there are {', '.join(known)}"
            raise Invalid(reason=f'bus.procedures."{name}": there is no such procedure; {hint}')
