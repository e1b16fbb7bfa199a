"""What a tag may be. Source: Amazon EC2 User Guide (tag restrictions)."""

from typing import Final

from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.protocol import Params

MAX_TAGS: Final = 50
_LONGEST_KEY: Final = 127
_LONGEST_VALUE: Final = 255


def tags_of(params: Params) -> dict[str, str]:
    """The tags in `Tag.1.Key=...&Tag.1.Value=...`; raises what is wrong with them."""
    found: dict[str, str] = {}
    for tag in params.all_parts("Tag", most=MAX_TAGS):
        tag.only(("Key", "Value"))
        key, value = tag.text("Key"), tag.text("Value", "")
        if key in found:
            raise Ec2Error("InvalidParameterValue", f"Duplicate tag key '{key[:64]}' specified.")
        check_key(key)
        if len(value) > _LONGEST_VALUE:
            raise invalid_value("Tag.Value", f"It has at most {_LONGEST_VALUE} characters.")
        found[key] = value
    return found


def check_key(key: str) -> None:
    """Raises InvalidParameterValue for what is no key of a tag."""
    if len(key) > _LONGEST_KEY:
        raise invalid_value("Tag.Key", f"It has at most {_LONGEST_KEY} characters.")
    if key.lower().startswith("aws:"):
        raise Ec2Error("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
