"""Booting servers: check all of it, record it, order it.

Everything is checked before anything is written. Quota and rows are then one transaction, and the build is ordered after it: if
the process dies or the bus fails in between, the servers are recorded with a task that nobody works on, which
is what recovery looks for. So a create is accepted once it is recorded.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.client_tokens import ClientTokens, TokenTaken
from novaflow.db.hosts import Hosts
from novaflow.db.keypairs import KeyPairs
from novaflow.db.quotas import Quotas
from novaflow.db.servers import ServerQuery, Servers
from novaflow.errors import Forbidden, Invalid, NoSuchImage, NotFound, QuotaExceeded, TokenMismatch, Unauthorized
from novaflow.messages import BUILD_INSTANCES, BuildInstance
from novaflow.models import ClientToken, Context, ImageFacts, RequestSpec, Server
from novaflow.operations.boot_disks import BootDisks
from novaflow.operations.boot_drafts import BootRequest, Checked, drafts, host_of
from novaflow.operations.boot_rules import (
    check_files,
    check_image,
    check_metadata,
)
from novaflow.operations.flavors import FlavorOperations
from novaflow.operations.rights import admin_only
from novaflow.quotas import largest_count
from rpc.bus import Bus
from rpc.errors import BusError
from rpc.tracing import Tracer

_FORCED_HOST: Final = "os_compute_api:servers:create:forced_host"
_EVER: Final = datetime(2000, 1, 1, tzinfo=UTC)  # before there was any server
log = logging.getLogger(__name__)


class Images(Protocol):
    """What booting asks of the image service."""

    async def show(self, image_id: str, token: str) -> ImageFacts:
        """The image as the owner of `token` sees it; raises NotFound, Unauthorized, Forbidden, ServiceUnavailable."""
        ...


class ServerBoot:
    """The way from a request to recorded servers whose builds are ordered. `new_id` names servers."""

    def __init__(
        self,
        *,
        servers: Servers,
        flavors: FlavorOperations,
        keypairs: KeyPairs,
        quotas: Quotas,
        hosts: Hosts,
        images: Images,
        bus: Bus,
        config: Config,
        clock: Clock,
        tracer: Tracer,
        client_tokens: ClientTokens,
        disks: BootDisks,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._servers = servers
        self._flavors = flavors
        self._keypairs = keypairs
        self._quotas = quotas
        self._hosts = hosts
        self._images = images
        self._bus = bus
        self._config = config
        self._clock = clock
        self._tracer = tracer
        self._client_tokens = client_tokens
        self._disks = disks
        self._new_id = new_id

    async def boot(self, context: Context, request: BootRequest) -> list[Server]:
        """Record the servers and order their builds.

        Raises Invalid (flavor, image, key, zone, groups), Forbidden, LimitExceeded, QuotaExceeded, ServiceUnavailable; then nothing
        was written. As many as the quota leaves are made if that is at least `min_count`. Where its client token has just been used
        by another request, the servers are what `made_with` answers.
        """
        found = await self._check(context, request)
        try:
            made = await self._record(context, request, found)
        except TokenTaken:  # by one that came in the same moment
            return await self.made_with(context, request.once)
        await self._order(context, request, found, made)
        return made

    async def made_with(self, context: Context, once: ClientToken | None) -> list[Server]:
        """The servers that were made with a client token, as they are now, the deleted ones too; none if there are none.

        Raises TokenMismatch when they were made by a request for something else.
        """
        used = await self._client_tokens.find(context.project_id, once.token) if once else None
        if once is None or used is None:
            return []
        first, reservation_id = used
        if first != once:
            raise TokenMismatch(token=once.token)
        query = ServerQuery(
            project_id=context.project_id,
            reservation_id=reservation_id,
            changes_since=_EVER,
            sort_keys=("launch_index",),
            sort_dirs=("asc",),
        )
        return await self._servers.list(query)

    async def _check(self, context: Context, request: BootRequest) -> Checked:
        if request.force_host:
            admin_only(context, _FORCED_HOST)
        with self._tracer.span("db", "check flavor, key pair, quota"):
            flavor = await self._flavors.wanted(context, request.flavor_id)
            public_key = await self._public_key(context, request.key_name)
            limits = await self._quotas.limits(context.project_id, self._config.quota, user_id=context.user_id)
            check_metadata(request.metadata, limits)
            check_files(request.files, limits)
            zone = await self._zone(request)
            disks = await self._disks.check(
                context, request.disks, flavor, servers=request.max_count, zone=request.availability_zone
            )
        image = await self._image(context, request.image_id)
        check_image(image, flavor, context)
        return Checked(flavor, image, public_key, zone, disks, host_of(request, disks))

    async def _public_key(self, context: Context, name: str | None) -> str:
        if name is None:
            return ""
        try:
            return (await self._keypairs.get(context.user_id, name)).public_key
        except NotFound as error:
            raise Invalid(reason="Invalid key_name provided.") from error

    async def _image(self, context: Context, image_id: str) -> ImageFacts:
        try:
            return await self._images.show(image_id, context.token)
        except NotFound as error:
            raise NoSuchImage(reason="Can not find requested image") from error
        except (Forbidden, Unauthorized) as error:
            raise NoSuchImage(reason=f"Not authorized for image {image_id}.") from error

    async def _zone(self, request: BootRequest) -> str:
        """The zone asked for; empty if the forced host is in another one, since the host counts then."""
        if not request.force_host and not request.availability_zone:
            return ""
        hosts = await self._hosts.all(self._clock.now(), self._config.compute.service_down_time)
        if not request.force_host:
            if all(
                host.availability_zone != request.availability_zone for host in hosts if host.is_up and host.is_enabled
            ):
                raise Invalid(reason="Invalid input received: The requested availability zone is not available")
            return request.availability_zone
        forced = next((host for host in hosts if host.name == request.force_host), None)
        if forced is None:
            raise Invalid(reason=f"Compute host {request.force_host} could not be found.")
        return request.availability_zone if forced.availability_zone == request.availability_zone else ""

    async def _record(self, context: Context, request: BootRequest, found: Checked) -> list[Server]:
        """One transaction; again with fewer servers while the quota leaves room for `min_count`."""
        count = request.max_count
        while True:
            planned = drafts(request, found, count, self._new_id)
            try:
                with self._tracer.span("db", "record server", attributes={"count": count}) as span:
                    made = await self._servers.create(context, planned, self._config.quota, once=request.once)
                    span.attributes["server_id"] = made[0].id
                    return made
            except QuotaExceeded:
                count = await self._room(context, found, at_most=count - 1)
                if count < request.min_count:
                    raise

    async def _room(self, context: Context, checked: Checked, at_most: int) -> int:
        """How many servers of this flavor, with these disks, the quotas of project and user leave."""
        found = await self._quotas.standing(context.project_id, context.user_id, self._config.quota)
        flavor, sizes = checked.flavor, [disk.size_gb for disk in checked.disks if disk.is_new]
        count = largest_count(found.of_project, found.limits.project, flavor, at_most, sizes)
        return largest_count(found.of_user, found.limits.enforced_on_user, flavor, count, sizes)

    async def _order(self, context: Context, request: BootRequest, found: Checked, made: Sequence[Server]) -> None:
        spec = RequestSpec(
            project_id=context.project_id,
            user_id=context.user_id,
            flavor=found.flavor,
            image=found.image,
            availability_zone=found.availability_zone,
            force_host=found.force_host,
            hints=request.hints,
        )
        try:
            for server in made:
                order = BuildInstance(
                    context=context,
                    server_id=server.id,
                    task_id=server.task_id or "",
                    spec=spec,
                    admin_password=request.admin_password,
                )
                await self._bus.cast(BUILD_INSTANCES, order)
        except BusError as failure:
            # They are recorded: recovery orders their builds when the bus is back.
            log.warning("server %s and what follows it could not be ordered yet: %s", server.id, failure)
