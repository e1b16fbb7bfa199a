"""What the metadata service tells a guest: the facts of its config drive, as they are now."""

import secrets
from collections.abc import Mapping

from novaflow.config import Config
from novaflow.db.ec2_ids import IMAGE, INSTANCE, Ec2Ids
from novaflow.db.floating_addresses import FloatingAddresses
from novaflow.db.guest_plans import GuestPlans
from novaflow.db.security_members import SecurityMembers
from novaflow.models import BuildPlan
from novaflow.virt.guest_facts import SEED_BYTES, Ec2Names, Facts, GuestNetwork


class GuestFactOperations:
    """Whoever asks has shown already which guest it asks for."""

    def __init__(
        self, plans: GuestPlans, ids: Ec2Ids, members: SecurityMembers, floating: FloatingAddresses, config: Config
    ) -> None:
        self._plans = plans
        self._ids = ids
        self._members = members
        self._floating = floating
        self._subnet = config.network.cidr

    async def get(self, server_id: str) -> Facts:
        """All that is told of the server. Raises NotFound."""
        plan = await self._plans.get(server_id)
        groups = await self._members.names([server_id])
        public = (await self._floating.of_servers([server_id])).get(server_id)
        return Facts(
            plan=plan,
            network=GuestNetwork(
                addresses=plan.server.addresses, subnet=self._subnet, public_ip=public[0].ip if public else ""
            ),
            security_groups=tuple(groups.get(server_id, ())),
            random_seed=secrets.token_bytes(SEED_BYTES),
            names=await self._names(plan),
        )

    async def _names(self, plan: BuildPlan) -> Ec2Names:
        """As the EC2 API says them."""
        server = plan.server
        number = await self._ids.number(INSTANCE, server.id)
        images = [id_ for id_ in (server.image_id, server.kernel_id, server.ramdisk_id) if id_]
        numbers = await self._ids.numbers(IMAGE, images)
        return Ec2Names(
            instance=f"i-{number:08x}",
            image=_name("ami", server.image_id, numbers),
            kernel=_name("aki", server.kernel_id, numbers),
            ramdisk=_name("ari", server.ramdisk_id, numbers),
        )


def _name(prefix: str, image_id: str, numbers: Mapping[str, int]) -> str:
    return f"{prefix}-{numbers[image_id]:08x}" if image_id else ""
