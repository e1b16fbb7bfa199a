"""Security groups and their rules, as the owner of a project keeps them."""

from novaflow.models import Value


class SecurityRule(Value, frozen=True, kw_only=True):
    """What may reach the servers of a group: from the addresses of `cidr`, or from the servers of the group `source_id`.

    Ports are from 1 to 65535; of icmp they are type and code, where -1 is any.
    """

    id: int
    group_id: int
    protocol: str  # tcp, udp or icmp
    from_port: int
    to_port: int
    cidr: str | None = None
    source_id: int | None = None
    source_name: str = ""
    source_project_id: str = ""


class GroupName(Value, frozen=True, kw_only=True):
    """A group as it is shown with the servers in it."""

    id: int
    name: str


class SecurityGroup(Value, frozen=True, kw_only=True):
    """A project's rules of what may reach some of its servers, under a name that is the project's own."""

    id: int
    project_id: str
    user_id: str
    name: str
    description: str
    rules: tuple[SecurityRule, ...] = ()
