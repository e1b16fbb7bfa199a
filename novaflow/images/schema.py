"""The JSON schemas of the image API, and the part of JSON Schema that they need.

They are served at /v2/schemas, from where clients learn the properties, and every request is checked against them. The
properties are those of glance/api/v2/images.py and glance/etc/schema-image.json; the sentences of a refusal are those of the `jsonschema`
library, which Glance hands to its clients.
"""

import re
from typing import Any, Final

from novaflow.errors import Invalid
from novaflow.images.image import CONTAINER_FORMATS, DISK_FORMATS, Visibility

Schema = dict[str, Any]

UUID_PATTERN: Final = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
_STATUSES: Final = [
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
]
_TEXT: Final = "string"
_TEXT_OR_NULL: Final = ["null", "string"]
_NUMBER_OR_NULL: Final = ["null", "integer"]


def _property(kind: str | list[str], description: str, **rest: Any) -> Schema:
    return {"type": kind, "description": description} | rest


def _served(kind: str | list[str], description: str, **rest: Any) -> Schema:
    """A property that only the service sets."""
    return _property(kind, description, readOnly=True, **rest)


BASE_PROPERTIES: Final[dict[str, Schema]] = {
    "id": _property(_TEXT, "An identifier for the image", pattern=UUID_PATTERN),
    "name": _property(_TEXT_OR_NULL, "Descriptive name for the image", maxLength=255),
    "status": _served(_TEXT, "Status of the image", enum=_STATUSES),
    "visibility": _property(_TEXT, "Scope of image accessibility", enum=sorted(each.value for each in Visibility)),
    "protected": _property("boolean", "If true, image will not be deletable."),
    "os_hidden": _property("boolean", "If true, image will not appear in default image list response."),
    "checksum": _served(_TEXT_OR_NULL, "md5 hash of image contents.", maxLength=32),
    "os_hash_algo": _served(_TEXT_OR_NULL, "Algorithm to calculate the os_hash_value", maxLength=64),
    "os_hash_value": _served(
        _TEXT_OR_NULL,
        "Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
        maxLength=128,
    ),
    "owner": _property(_TEXT_OR_NULL, "Owner of the image", maxLength=255),
    "size": _served(_NUMBER_OR_NULL, "Size of image file in bytes"),
    "virtual_size": _served(_NUMBER_OR_NULL, "Virtual size of image in bytes"),
    "container_format": _property(_TEXT_OR_NULL, "Format of the container", enum=[None, *CONTAINER_FORMATS]),
    "disk_format": _property(_TEXT_OR_NULL, "Format of the disk", enum=[None, *DISK_FORMATS]),
    "created_at": _served(_TEXT, "Date and time of image registration"),
    "updated_at": _served(_TEXT, "Date and time of the last image modification"),
    "tags": _property("array", "List of strings related to the image", items={"type": "string", "maxLength": 255}),
    "direct_url": _served(_TEXT, "URL to access the image file kept in external store"),
    "min_ram": _property("integer", "Amount of ram (in MB) required to boot image."),
    "min_disk": _property("integer", "Amount of disk space (in GB) required to boot image."),
    "self": _served(_TEXT, "An image self url"),
    "file": _served(_TEXT, "An image file url"),
    "schema": _served(_TEXT, "An image schema url"),
}

KNOWN_PROPERTIES: Final[dict[str, Schema]] = {
    "kernel_id": _property(
        _TEXT_OR_NULL,
        "ID of image stored in Glance that should be used as the kernel when booting an AMI-style image.",
        pattern=UUID_PATTERN,
        is_base=False,
    ),
    "ramdisk_id": _property(
        _TEXT_OR_NULL,
        "ID of image stored in Glance that should be used as the ramdisk when booting an AMI-style image.",
        pattern=UUID_PATTERN,
        is_base=False,
    ),
    "instance_uuid": _property(
        _TEXT, "Metadata which can be used to record which instance this image is associated with.", is_base=False
    ),
    "architecture": _property(_TEXT, "Operating system architecture", is_base=False),
    "os_distro": _property(_TEXT, "Common name of operating system distribution", is_base=False),
    "os_version": _property(_TEXT, "Operating system version as specified by the distributor.", is_base=False),
    "description": _property(_TEXT, "A human-readable string describing this image.", is_base=False),
}

IMAGE: Final[Schema] = {
    "name": "image",
    "properties": BASE_PROPERTIES | KNOWN_PROPERTIES,
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER: Final[Schema] = {
    "name": "member",
    "properties": {
        "member_id": _property(_TEXT, "An identifier for the image member (tenantId)"),
        "image_id": _property(_TEXT, "An identifier for the image", pattern=UUID_PATTERN),
        "created_at": _property(_TEXT, "Date and time of image member creation"),
        "updated_at": _property(_TEXT, "Date and time of last modification of image member"),
        "status": _property(_TEXT, "The status of this image member", enum=["pending", "accepted", "rejected"]),
        "schema": {"readOnly": True, "type": "string"},
    },
}


def collection(name: str, item: Schema, *, paged: bool) -> Schema:
    """The schema of a list of `item`, with the links of a paged one."""
    pages = ("first", "next") if paged else ()
    properties = {name: {"type": "array", "items": item}} | {each: {"type": "string"} for each in (*pages, "schema")}
    links = [{"rel": each, "href": f"{{{each}}}"} for each in pages]
    return {"name": name, "properties": properties, "links": [*links, {"rel": "describedby", "href": "{schema}"}]}


SCHEMAS: Final[dict[str, Schema]] = {
    "image": IMAGE,
    "images": collection("images", IMAGE, paged=True),
    "member": MEMBER,
    "members": collection("members", MEMBER, paged=False),
}


def validate(document: dict[str, Any]) -> None:
    """Check a partial image against the schema. Raises Invalid naming the property and what is wrong with it."""
    for name, value in document.items():
        rule = IMAGE["properties"].get(name, IMAGE["additionalProperties"])
        where = f"['{name}']" if name in IMAGE["properties"] else ""
        _check(rule, value, f"['properties']{where}" if where else "['additionalProperties']", f"['{name}']")


def _check(rule: Schema, value: object, schema_path: str, path: str) -> None:
    for keyword, fails in _KEYWORDS.items():
        if keyword in rule and (fault := fails(rule[keyword], value)):
            reason = f"{fault}\n\nFailed validating '{keyword}' in schema{schema_path}:\n    {rule}\n\nOn instance{path}:\n    {value!r}"
            raise Invalid(reason=f"Provided object does not match schema 'image': {reason}")
    if "items" in rule and isinstance(value, list):
        for index, item in enumerate(value):
            _check(rule["items"], item, f"{schema_path}['items']", f"{path}[{index}]")


def _type_fault(kinds: str | list[str], value: object) -> str:
    names = [kinds] if isinstance(kinds, str) else kinds
    if any(_is_a(kind, value) for kind in names):
        return ""
    return f"{value!r} is not of type {', '.join(map(repr, names))}"


def _is_a(kind: str, value: object) -> bool:
    if kind == "integer":  # JSON has one kind of number: 1.0 is an integer, true is none
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        )
    kinds: dict[str, type] = {"null": type(None), "string": str, "boolean": bool, "array": list}
    return isinstance(value, kinds[kind])


def _enum_fault(allowed: list[object], value: object) -> str:
    return "" if value in allowed else f"{value!r} is not one of {allowed!r}"


def _length_fault(longest: int, value: object) -> str:
    return f"{value!r} is too long" if isinstance(value, str) and len(value) > longest else ""


def _pattern_fault(pattern: str, value: object) -> str:
    if not isinstance(value, str) or re.search(pattern, value):
        return ""
    return f"{value!r} does not match {pattern!r}"


_KEYWORDS: Final[dict[str, Any]] = {
    "type": _type_fault,
    "enum": _enum_fault,
    "maxLength": _length_fault,
    "pattern": _pattern_fault,
}
