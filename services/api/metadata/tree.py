"""The tree of files that a guest can ask for, and how a directory is listed (nova/api/metadata/base.py). Pure.

EC2's facts are below `/<version>`, OpenStack's below `/openstack`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from novaflow.virt.guest_facts import (
    EC2_VERSIONS,
    GRIZZLY,
    LATEST,
    OPENSTACK_VERSIONS,
    Facts,
    contents,
    ec2_metadata,
    openstack_files,
)

OPENSTACK: Final = "openstack"
PASSWORD: Final = "password"  # noqa: S105 - a file's name


def find(facts: Facts, path: Sequence[str]) -> bytes | None:
    """What is at a path, a directory as its listing; None when there is nothing. Raises Invalid for a plan that is not base64."""
    if not path:
        return _lines([*EC2_VERSIONS, LATEST])
    if path[0] == OPENSTACK:
        return _find_openstack(facts, path[1:])
    if path[0] not in (*EC2_VERSIONS, LATEST):
        return None
    if tuple(path[1:]) == ("meta-data", "public-keys") and facts.plan.public_key:
        return f"0={facts.plan.server.key_name}".encode()  # the one directory that is listed otherwise
    return _walk(_ec2(facts, path[0]), path[1:])


def is_password(path: Sequence[str]) -> bool:
    """Whether it is the file that a guest may write, too."""
    return len(path) == 3 and (path[0], path[2]) == (OPENSTACK, PASSWORD) and _is_since_grizzly(path[1])


def _is_since_grizzly(version: str) -> bool:
    return version in (*OPENSTACK_VERSIONS, LATEST) and version >= GRIZZLY


def _find_openstack(facts: Facts, path: Sequence[str]) -> bytes | None:
    if not path:
        return _lines([*OPENSTACK_VERSIONS, LATEST])
    if path[0] == "content":
        return contents(facts).get(path[1]) if len(path) == 2 else None
    if path[0] not in (*OPENSTACK_VERSIONS, LATEST):
        return None
    files: dict[str, object] = dict(openstack_files(facts, path[0]))
    if _is_since_grizzly(path[0]):
        files[PASSWORD] = b""
    return _walk(files, path[1:])


def _ec2(facts: Facts, version: str) -> dict[str, object]:
    told = ec2_metadata(facts, version)
    tree: dict[str, object] = {"meta-data": told}
    if facts.plan.user_data:
        tree["user-data"] = facts.user_data
    return tree


def _walk(tree: Mapping[str, object], path: Sequence[str]) -> bytes | None:
    node: object = tree
    for name in path:
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return _shown(node)


def _shown(node: object) -> bytes:
    match node:
        case Mapping():
            return _lines([f"{name}/" if isinstance(node[name], Mapping) else str(name) for name in sorted(node)])
        case bytes():
            return node
        case list():
            return _lines([str(line) for line in node])
        case _:
            return str(node).encode()


def _lines(lines: Sequence[str]) -> bytes:
    return "\n".join(lines).encode()
