"""Finding the instances a request is about. At this door everyone, administrators too, sees the instances of his project alone."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from novaflow.db import ec2_ids
from novaflow.db.servers import ServerQuery
from novaflow.models import Server
from services.api.ec2.errors import Ec2Error
from services.api.ec2.frame import Call, Ec2Api
from services.api.ec2.ids import INSTANCE, resolve, shown
from services.api.ec2.instance_views import Instance
from services.api.ec2.volume_views import block_devices

SHOWN_AFTER_END: Final = timedelta(hours=1)  # as Amazon does, so that who waits for the end sees it


async def named(api: Ec2Api, call: Call, given: Sequence[str]) -> list[Instance]:
    """The instances by these ids, in this order, each once; raises InvalidInstanceID.Malformed and .NotFound."""
    ids = list(dict.fromkeys(given))
    resources = await resolve(api.ids, INSTANCE, ids)
    found = {server.id: server for server in await _servers(api, call, tuple(resources.values()))}
    if missing := [one for one in ids if resources[one] not in found]:
        raise INSTANCE.missing(missing)
    return await described(api, call, dict.fromkeys(resources[one] for one in ids), found.values())


async def one_named(api: Ec2Api, call: Call, given: str) -> Instance:
    """The instance by this id; raises as `named`."""
    return (await named(api, call, [given]))[0]


async def one_alive(api: Ec2Api, call: Call, given: str) -> Instance:
    """The same, where something is done to it: raises IncorrectInstanceState for one that is shown only because it has just ended."""
    instance = await one_named(api, call, given)
    if instance.server.deleted_at is not None:
        raise Ec2Error("IncorrectInstanceState", f"The instance '{instance.id}' is terminated.")
    return instance


async def everyone(api: Ec2Api, call: Call) -> list[Instance]:
    """All instances of the project, and those that ended a little while ago."""
    servers = await _servers(api, call)
    return await described(api, call, [server.id for server in servers], servers)


async def described(api: Ec2Api, call: Call, order: Iterable[str], servers: Iterable[Server]) -> list[Instance]:
    """These servers with their numbers and their images', in the order of these ids."""
    by_id = {server.id: server for server in servers}
    numbers = await api.ids.numbers(ec2_ids.INSTANCE, by_id)
    files = {file for server in by_id.values() for file in (server.image_id, server.kernel_id, server.ramdisk_id)}
    images = await api.ids.numbers(ec2_ids.IMAGE, files - {""})
    made_in = {server.reservation_id for server in by_id.values()}
    groups = await api.security_groups.groups(list(by_id))
    floating = await api.floating_addresses.of_servers(list(by_id))
    disks = await block_devices(api, by_id)
    tokens = await api.client_tokens.of_reservations(call.context.project_id, made_in)

    def view(server: Server) -> Instance:
        return Instance(
            server=server,
            number=numbers[server.id],
            image=shown("ami", images[server.image_id]) if server.image_id else "",
            kernel=shown("aki", images[server.kernel_id]) if server.kernel_id else "",
            ramdisk=shown("ari", images[server.ramdisk_id]) if server.ramdisk_id else "",
            client_token=tokens.get(server.reservation_id, ""),
            groups=tuple((shown("sg", group.id), group.name) for group in groups.get(server.id, ())),
            disks=disks.get(server.id, ()),
            public_address=next((one.ip for one in floating.get(server.id, ())), ""),
        )

    return [view(by_id[one]) for one in order]


async def _servers(api: Ec2Api, call: Call, ids: tuple[str, ...] | None = None) -> list[Server]:
    project_id, since = call.context.project_id, api.clock.now() - SHOWN_AFTER_END
    mine = ServerQuery(project_id=project_id, ids=ids)
    ended = ServerQuery(project_id=project_id, ids=ids, deleted_since=since)
    found = {server.id: server for query in (mine, ended) for server in await api.servers.list(query)}
    return list(found.values())
