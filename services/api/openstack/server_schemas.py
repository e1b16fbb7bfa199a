"""What bodies about servers may say, by microversion. Source: nova/api/openstack/compute/schemas/servers.py."""

from functools import cache
from typing import Final

from services.api.openstack.microversion import Version
from services.api.openstack.schema import (
    METADATA,
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    encoded,
    identifier,
    integer,
    ip_address,
    name,
    optional,
    record,
    text,
)

_USER_DATA_LENGTH: Final = 65535
_MAX_COUNT: Final = 1000  # servers of one request
TAG: Final = text(min_length=1, max_length=60, pattern=r"^[^,/]*$")
DESCRIPTION: Final = optional(text(max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"))
DISK_CONFIG: Final = choice("AUTO", "MANUAL")
FLAVOR: Final = either(integer(), text(min_length=1, max_length=1024))
ADMIN_PASSWORD: Final = text(max_length=255, secret=True)
FILE: Final = record({"path": text(), "contents": encoded()}, required=("path", "contents"))
_BOOT_INDEX: Final = optional(integer())
_LEGACY_DEVICE: Final = {
    "virtual_name": text(max_length=255),
    "volume_id": identifier,
    "snapshot_id": identifier,
    "volume_size": integer(minimum=0, maximum=0x7FFFFFFF),
    "device_name": text(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._/-]*$"),
    "delete_on_termination": boolean,
    "no_device": anything,
    "connection_info": text(max_length=16777215),
}
_DEVICE: Final = {
    **_LEGACY_DEVICE,
    "source_type": choice("volume", "image", "snapshot", "blank"),
    "uuid": text(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]*$"),
    "image_id": identifier,
    "destination_type": choice("local", "volume"),
    "guest_format": text(max_length=255),
    "device_type": text(max_length=255),
    "disk_bus": text(max_length=255),
    "boot_index": _BOOT_INDEX,
}
_MOST_SERVERS_IN_A_HINT: Final = 100
_SERVERS: Final = either(
    array(identifier, max_items=_MOST_SERVERS_IN_A_HINT, is_unique=True), identifier
)  # one or several
# nova/api/openstack/compute/schemas/servers.py, _hints. What is unknown is kept: an operator's filter may know it.
_HINTS: Final = record(
    {
        "group": identifier,
        "different_host": _SERVERS,
        "same_host": _SERVERS,
        "query": either(array(anything), text()),
        "target_cell": name(),
        "different_cell": either(array(text(), min_items=1, is_unique=True), text()),
        "build_near_host_ip": ip_address(),
        "cidr": text(pattern=r"^/[0-9a-f.:]+$"),
    },
    is_open=True,
)


@cache
def create_schema(version: Version) -> Check:
    """The body of `POST /servers`."""
    fields: dict[str, Check] = {
        "name": name(),
        "imageRef": text(max_length=1024),
        "flavorRef": FLAVOR,
        "adminPass": ADMIN_PASSWORD,
        "metadata": METADATA,
        "networks": _networks(version),
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": ip_address(4),
        "accessIPv6": ip_address(6),
        "personality": array(FILE),
        "availability_zone": name(),
        "block_device_mapping": array(record(_LEGACY_DEVICE)),
        "block_device_mapping_v2": array(_device(version)),
        "config_drive": boolean,
        "key_name": name(),
        "min_count": integer(minimum=1, maximum=_MAX_COUNT),
        "max_count": integer(minimum=1, maximum=_MAX_COUNT),
        "return_reservation_id": boolean,
        "security_groups": array(record({"name": name()})),
        "user_data": encoded(max_length=_USER_DATA_LENGTH),
    }
    required = ["name", "flavorRef"]
    if version >= (2, 19):
        fields["description"] = DESCRIPTION
    if version >= (2, 37):
        required.append("networks")
    return record(
        {
            "server": record(fields, required=required),
            "os:scheduler_hints": _HINTS,
            "OS-SCH-HNT:scheduler_hints": _HINTS,
        },
        required=("server",),
    )


@cache
def update_schema(version: Version) -> Check:
    """The body of `PUT /servers/{id}`."""
    fields: dict[str, Check] = {
        "name": name(),
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": ip_address(4),
        "accessIPv6": ip_address(6),
    }
    if version >= (2, 19):
        fields["description"] = DESCRIPTION
    return record({"server": record(fields)}, required=("server",))


def _networks(version: Version) -> Check:
    fields: dict[str, Check] = {"fixed_ip": ip_address(), "port": optional(identifier), "uuid": text()}
    if (2, 32) <= version < (2, 37):
        fields["tag"] = TAG
    if version < (2, 37):
        return array(record(fields))
    listed = array(record({**fields, "uuid": identifier}))

    def check(value: object) -> object:
        return choice("none", "auto")(value) if isinstance(value, str) else listed(value)

    return check


def _device(version: Version) -> Check:
    # The tag of a device exists in 2.32 alone, up to 2.42.
    return record({**_DEVICE, "tag": TAG} if version == (2, 32) else _DEVICE)
