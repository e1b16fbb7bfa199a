"""All that is done to servers, one file per idea, put together over one way to order things."""

from dataclasses import dataclass
from typing import Protocol

from novaflow.config import Config
from novaflow.db.locking import ServerLocks as Locks
from novaflow.db.migration_records import Migrations
from novaflow.db.quotas import Quotas
from novaflow.operations.flavors import FlavorOperations
from novaflow.operations.server_boot import Images as ImagesToBoot
from novaflow.operations.server_ends import ServerEnds
from novaflow.operations.server_guests import ServerGuests
from novaflow.operations.server_images import ImageRecords, ServerImages
from novaflow.operations.server_locks import ServerLocks
from novaflow.operations.server_moves import ServerMoves
from novaflow.operations.server_orders import ServerOrders
from novaflow.operations.server_power import ServerPower
from novaflow.operations.server_repairs import ServerRepairs
from novaflow.operations.server_resizes import ServerResizes
from novaflow.operations.server_shelf import ServerShelf
from novaflow.operations.server_systems import ServerSystems


class Images(ImagesToBoot, ImageRecords, Protocol):
    """What servers need of the image service: images to be made of, and images made of them."""


@dataclass(frozen=True)
class ServerActions:
    """What may be done to a server, by idea."""

    power: ServerPower
    systems: ServerSystems
    images: ServerImages
    shelf: ServerShelf
    resizes: ServerResizes
    moves: ServerMoves
    ends: ServerEnds
    locks: ServerLocks
    repairs: ServerRepairs
    guests: ServerGuests


def server_actions(
    orders: ServerOrders,
    *,
    images: Images,
    flavors: FlavorOperations,
    quotas: Quotas,
    locks: Locks,
    migrations: Migrations,
    config: Config,
) -> ServerActions:
    """Put them together."""
    made = ServerImages(orders, images, quotas)
    return ServerActions(
        power=ServerPower(orders),
        systems=ServerSystems(orders, images, quotas, config),
        images=made,
        shelf=ServerShelf(orders),
        resizes=ServerResizes(orders, flavors),
        moves=ServerMoves(orders, migrations),
        ends=ServerEnds(orders, made),
        locks=ServerLocks(orders, locks),
        repairs=ServerRepairs(orders),
        guests=ServerGuests(orders),
    )
