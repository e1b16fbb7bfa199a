"""Everything a compute host answers to of moves, in one place."""

import aiohttp

from novaflow.messages import (
    CONFIRM_RESIZE,
    FINISH_RESIZE,
    FINISH_REVERT_RESIZE,
    LIVE_MIGRATION,
    LIVE_MIGRATION_ABORT,
    LIVE_MIGRATION_FORCE_COMPLETE,
    POST_LIVE_MIGRATION,
    PRE_LIVE_MIGRATION,
    PREP_RESIZE,
    REMOVE_LEFTOVERS,
    RESIZE_INSTANCE,
    REVERT_RESIZE,
    ROLL_BACK_LIVE_MIGRATION,
    ROLL_BACK_RESIZE,
)
from rpc.bus import Bus
from services.compute.arrivals import Arrivals
from services.compute.host import ComputeHost
from services.compute.images import BootImages
from services.compute.moving.destination import Destination
from services.compute.moving.leftovers import Leftovers
from services.compute.moving.live import LiveMigration
from services.compute.moving.source import Source
from services.compute.transfer import Offers


async def answer_moves(
    bus: Bus, host: ComputeHost, images: BootImages, offers: Offers, http: aiohttp.ClientSession
) -> None:
    """Have `bus` take the orders of moves for `host`, once what an earlier process was sent is cleared away."""
    arrivals = Arrivals(http, host.directory / "arrivals", host.config.compute)
    await arrivals.clear()
    source, destination = Source(host, bus, offers), Destination(host, bus, images, arrivals)
    live, leftovers = LiveMigration(host, bus, images), Leftovers(host, offers, arrivals)
    bus.on_cast(PREP_RESIZE, destination.prep_resize)
    bus.on_cast(RESIZE_INSTANCE, source.resize_instance)
    bus.on_cast(FINISH_RESIZE, destination.finish_resize)
    bus.on_cast(ROLL_BACK_RESIZE, source.roll_back_resize)
    bus.on_cast(CONFIRM_RESIZE, source.confirm_resize)
    bus.on_cast(REVERT_RESIZE, destination.revert_resize)
    bus.on_cast(FINISH_REVERT_RESIZE, source.finish_revert_resize)
    bus.on_cast(LIVE_MIGRATION, live.live_migration)
    bus.on_cast(LIVE_MIGRATION_ABORT, live.live_migration_abort)
    bus.on_cast(LIVE_MIGRATION_FORCE_COMPLETE, live.live_migration_force_complete)
    bus.on_call(PRE_LIVE_MIGRATION, live.pre_live_migration)
    bus.on_call(POST_LIVE_MIGRATION, live.post_live_migration_at_destination)
    bus.on_cast(ROLL_BACK_LIVE_MIGRATION, leftovers.rollback_live_migration_at_destination)
    bus.on_cast(REMOVE_LEFTOVERS, leftovers.remove_leftovers)
