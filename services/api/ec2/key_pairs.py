"""Key pairs: made here, where the private half is shown once, or brought along.

Sources: Amazon EC2 API Reference (CreateKeyPair ...), nova/api/ec2/cloud.py.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from novaflow.errors import Conflict, Invalid, Missing
from novaflow.models import KeyPair
from novaflow.operations.keypairs import ec2_fingerprint
from services.api.ec2.errors import Ec2Error, invalid_value
from services.api.ec2.filters import Field, filtered
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.ids import as_shown, shown
from services.api.ec2.xml import Tree

_NAME: Final = re.compile(r"[\x20-\x7e]{1,255}")
_LONGEST_KEY: Final = 16384
Shown = tuple[KeyPair, str]
"""A key pair and its fingerprint."""
_FIELDS: Final[Mapping[str, Field[Shown]]] = {
    "key-name": lambda one: [one[0].name],
    "key-pair-id": lambda one: [_id(one[0])],
    "fingerprint": lambda one: [one[1]],
}


async def create_key_pair(api: Ec2Api, call: Call) -> Answer:
    """A new key; its private half is in this answer and nowhere else."""
    name = _name(call)
    if call.params.text("KeyType", "rsa") != "rsa":
        raise invalid_value("KeyType", "Keys of type rsa are made here; others can be imported.")
    if call.params.text("KeyFormat", "pem") != "pem":
        raise invalid_value("KeyFormat", "Keys are given in the format pem.")
    try:
        made, private = await api.keypairs.create(call.context, name)
    except Conflict:
        raise _duplicate(name) from None
    return {**_view((made, ec2_fingerprint(made))), "keyMaterial": private}


async def import_key_pair(api: Ec2Api, call: Call) -> Answer:
    """A key whose private half its owner keeps."""
    name = _name(call)
    material = call.params.data("PublicKeyMaterial", most=_LONGEST_KEY)
    try:
        made = await api.keypairs.bring(call.context, name, material.decode("ascii").strip())
    except (Invalid, UnicodeDecodeError):
        raise Ec2Error("InvalidKey.Format", "Key is not in valid OpenSSH public key format") from None
    except Conflict:
        raise _duplicate(name) from None
    return _view((made, ec2_fingerprint(made)))


async def describe_key_pairs(api: Ec2Api, call: Call) -> Answer:
    """The caller's keys, or those named; raises InvalidKeyPair.NotFound when one of these is not there."""
    keypairs = await api.keypairs.list(call.context)
    wanted = {*call.params.texts("KeyName")}
    by_id = {as_shown(one) for one in call.params.texts("KeyPairId")}
    for asked, there in ((wanted, {one.name for one in keypairs}), (by_id, {_id(one) for one in keypairs})):
        if unknown := sorted(asked - there):
            raise Ec2Error("InvalidKeyPair.NotFound", f"The key pair '{unknown[0][:255]}' does not exist")
    is_all = not wanted and not by_id
    chosen = [one for one in keypairs if is_all or one.name in wanted or _id(one) in by_id]
    shown_keys = await asyncio.to_thread(lambda: [(one, ec2_fingerprint(one)) for one in chosen])
    found = filtered(shown_keys, call.params, _FIELDS)
    with_key = call.params.flag("IncludePublicKey")
    return {"keySet": [_view(one, with_key=with_key) | {"createTime": one[0].created_at} for one in found]}


async def delete_key_pair(api: Ec2Api, call: Call) -> Answer:
    """Forget a key. One that is not there is as good as deleted."""
    name = call.params.text("KeyName", "")
    if not name:
        wanted = as_shown(call.params.text("KeyPairId"))
        name = next((one.name for one in await api.keypairs.list(call.context) if _id(one) == wanted), "")
    try:
        await api.keypairs.delete(call.context, name)
    except Missing:
        return {"return": True}
    return {"return": True}


def _view(one: Shown, *, with_key: bool = False) -> dict[str, Tree]:
    keypair, fingerprint = one
    return {
        "keyPairId": _id(keypair),
        "keyName": keypair.name,
        "keyFingerprint": fingerprint,
        "publicKey": keypair.public_key if with_key else None,
    }


def _id(keypair: KeyPair) -> str:
    return shown("key", keypair.id)


def _name(call: Call) -> str:
    name = call.params.text("KeyName")
    if not _NAME.fullmatch(name):
        raise invalid_value("KeyName", "It has 1 to 255 ASCII characters.")
    return name


def _duplicate(name: str) -> Ec2Error:
    return Ec2Error("InvalidKeyPair.Duplicate", f"The key pair '{name}' already exists.")


ACTIONS: Final = (
    Action("CreateKeyPair", create_key_pair, takes=("KeyName", "KeyType", "KeyFormat")),
    Action("ImportKeyPair", import_key_pair, takes=("KeyName", "PublicKeyMaterial")),
    Action("DescribeKeyPairs", describe_key_pairs, takes=("KeyName", "KeyPairId", "Filter", "IncludePublicKey")),
    Action("DeleteKeyPair", delete_key_pair, takes=("KeyName", "KeyPairId")),
)
