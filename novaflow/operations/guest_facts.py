"""What the metadata service tells a guest: the facts of its config drive, as they are now."""

import secrets

from novaflow.config import Config
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_names import named
from novaflow.db.floating_addresses import FloatingAddresses
from novaflow.db.guest_plans import GuestPlans
from novaflow.db.security_members import SecurityMembers
from novaflow.virt.guest_facts import SEED_BYTES, Facts, GuestNetwork


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
        plan = await named(self._ids, await self._plans.get(server_id))
        groups = await self._members.names([server_id])
        public = (await self._floating.of_servers([server_id])).get(server_id)
        return Facts(
            plan=plan,
            network=GuestNetwork(
                addresses=plan.server.addresses, subnet=self._subnet, public_ip=public[0].ip if public else ""
            ),
            security_groups=tuple(groups.get(server_id, ())),
            random_seed=secrets.token_bytes(SEED_BYTES),
        )
