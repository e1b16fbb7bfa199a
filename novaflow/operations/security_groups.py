"""Security groups: a project's rules of what may reach which of its servers. Source: nova/compute/api.py (SecurityGroupAPI).

They are kept and shown. What reaches a guest is decided by its host's network: with QEMU's own, which is what hosts have here, nothing
reaches a guest from outside whatever the rules say, and guests reach each other by no rule either.
"""

import builtins
from collections.abc import Sequence
from typing import Final

from novaflow.db.security_groups import DEFAULT, SecurityGroups
from novaflow.db.security_members import SecurityMembers
from novaflow.db.servers import Servers
from novaflow.errors import Invalid, LimitExceeded, Missing, NotFound, QuotaExceeded
from novaflow.models import Context
from novaflow.operations.rights import admin_only
from novaflow.operations.servers import visible_project
from novaflow.quotas import QuotaLimits
from novaflow.security_groups import GroupName, SecurityGroup, SecurityRule

NOT_APPLIED: Final = "Kept and shown only: guests are on QEMU's user network, which lets nothing in from outside, whatever the rules say."
_ALL_PROJECTS: Final = "os_compute_api:os-security-groups:all_projects"


class SecurityGroupOperations:
    """What members of a project do with its groups. Those of others, and unknown ones, are Missing."""

    def __init__(
        self, groups: SecurityGroups, members: SecurityMembers, servers: Servers, defaults: QuotaLimits
    ) -> None:
        self._groups = groups
        self._members = members
        self._servers = servers
        self._defaults = defaults

    async def list(self, context: Context, *, all_projects: bool = False) -> Sequence[SecurityGroup]:
        """The project's groups, the default one among them; an administrator may ask for all."""
        if all_projects:
            admin_only(context, _ALL_PROJECTS)
            return await self._groups.list()
        found = await self._groups.list(context.project_id)
        if any(group.name == DEFAULT for group in found):
            return found
        await self._groups.ensure_default(context)
        return await self._groups.list(context.project_id)

    async def get(self, context: Context, group_id: int) -> SecurityGroup:
        """One group."""
        try:
            found = await self._groups.get(group_id)
        except NotFound:
            raise _missing(group_id) from None
        if not context.is_admin and found.project_id != context.project_id:
            raise _missing(group_id)
        return found

    async def named(self, context: Context, name: str) -> SecurityGroup:
        """One of the project's groups by its name."""
        if name == DEFAULT:
            await self.list(context)
        try:
            return await self._groups.named(context.project_id, name)
        except NotFound:
            raise _missing(name) from None

    async def of_server(self, context: Context, server_id: str) -> Sequence[SecurityGroup]:
        """The groups that a server is in. Raises NotFound."""
        await self._server(context, server_id)
        return await self._groups.of_server(server_id)

    async def groups(self, server_ids: Sequence[str]) -> dict[str, builtins.list[GroupName]]:
        """The groups of servers that the caller has seen already, by server."""
        return await self._members.groups(server_ids)

    async def names(self, server_ids: Sequence[str]) -> dict[str, builtins.list[str]]:
        """The same by their names alone."""
        return await self._members.names(server_ids)

    async def create(self, context: Context, name: str, description: str) -> SecurityGroup:
        """A new group without rules. Raises Conflict for a name that is there, LimitExceeded when there are too many."""
        await self.list(context)  # the default group counts from the beginning
        try:
            return await self._groups.create(context, name, description, self._defaults)
        except QuotaExceeded:
            raise LimitExceeded(reason="Quota exceeded, too many security groups.") from None

    async def describe(self, context: Context, group_id: int, name: str, description: str) -> SecurityGroup:
        """Give a group another name and description. Raises Invalid for the default one, Conflict for a name that is there."""
        group = await self.get(context, group_id)
        if group.name == DEFAULT:
            raise Invalid(reason=f"Unable to update system group '{DEFAULT}'")
        return await self._groups.describe(group_id, name, description)

    async def delete(self, context: Context, group_id: int) -> None:
        """Remove a group. Raises Invalid for the default one, Conflict while servers are in it."""
        group = await self.get(context, group_id)
        if group.name == DEFAULT:
            raise Invalid(reason=f"Unable to delete system group '{DEFAULT}'")
        await self._groups.delete(group_id)

    async def add_rules(self, context: Context, group_id: int, rules: Sequence[SecurityRule]) -> Sequence[SecurityRule]:
        """Let more in: all of it or nothing. Raises Conflict for a rule that is there, LimitExceeded when there are too many."""
        await self.get(context, group_id)
        for source_id in {rule.source_id for rule in rules if rule.source_id is not None}:
            await self.get(context, source_id)
        try:
            return await self._groups.add_rules(context, group_id, rules, self._defaults)
        except QuotaExceeded:
            raise LimitExceeded(reason="Quota exceeded, too many security group rules.") from None

    async def delete_rule(self, context: Context, rule_id: int) -> None:
        """Let no more in what this rule says."""
        try:
            found = await self._groups.rule(rule_id)
            await self.get(context, found.group_id)
            await self._groups.delete_rule(rule_id)
        except (NotFound, Missing):
            raise Missing(reason=f"Rule ({rule_id}) not found") from None

    async def add_to_server(self, context: Context, server_id: str, name: str) -> None:
        """Put a server into a group of its project. Raises NotFound for the server, Conflict when it is in it."""
        await self._server(context, server_id)
        await self._move(server_id, name, joins=True)

    async def remove_from_server(self, context: Context, server_id: str, name: str) -> None:
        """Take a server out of a group. Raises NotFound for the server, Conflict when it is not in it."""
        await self._server(context, server_id)
        await self._move(server_id, name, joins=False)

    async def _server(self, context: Context, server_id: str) -> None:
        await self._servers.get(server_id, project_id=visible_project(context))

    async def _move(self, server_id: str, name: str, *, joins: bool) -> None:
        move = self._members.add if joins else self._members.remove
        try:
            await move(server_id, name)
        except NotFound as error:
            raise (error if error.key == server_id else _missing(name)) from None


def _missing(named: int | str) -> Missing:
    return Missing(reason=f"Security group {named} not found.")
