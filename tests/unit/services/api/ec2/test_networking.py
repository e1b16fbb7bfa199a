"""Key pairs, security groups and addresses through boto3, and the same through the other door."""

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from novaflow.config import Config, Network
from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.quotas import QuotaLimits
from tests.support.compute_api import PROJECT
from tests.support.ec2_door import Door
from tests.support.server_world import World, server_world

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@example"
CONFIG = Config(
    quota=QuotaLimits(security_groups=3, security_group_rules=4, floating_ips=1),
    network=Network(floating_cidr="198.51.100.0/29"),
)
SSH: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.1.0.0/16"}]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path, CONFIG) as world:
        yield world


async def group(door: Door, name: str = "web") -> str:
    made: str = (await door.ask("create_security_group", GroupName=name, Description=f"about {name}"))["GroupId"]
    return made


async def permissions(door: Door, group_id: str) -> list[dict[str, Any]]:
    (found,) = (await door.ask("describe_security_groups", GroupIds=[group_id]))["SecurityGroups"]
    shown: list[dict[str, Any]] = found["IpPermissions"]
    return shown


class TestAKeyPair:
    async def test_shows_its_private_half_once_with_the_fingerprint_of_it(self, world: World, door: Door) -> None:
        made = await door.ask("create_key_pair", KeyName="mine")

        key = serialization.load_pem_private_key(made["KeyMaterial"].encode(), None)
        form = serialization.PrivateFormat.PKCS8
        der = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
        assert made["KeyFingerprint"] == hashlib.sha1(der, usedforsecurity=False).digest().hex(":")
        (found,) = (await door.ask("describe_key_pairs"))["KeyPairs"]
        assert (found["KeyName"], found["KeyFingerprint"]) == ("mine", made["KeyFingerprint"])
        assert "KeyMaterial" not in found
        assert (await world.api.get("/os-keypairs/mine", who="alice"))["keypair"]["name"] == "mine"

    async def test_that_is_brought_has_the_fingerprint_of_its_public_half(self, door: Door) -> None:
        key = (await door.ask("create_key_pair", KeyName="other"))["KeyMaterial"]
        public = serialization.load_pem_private_key(key.encode(), None).public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        ssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)

        rsa = await door.ask("import_key_pair", KeyName="rsa", PublicKeyMaterial=ssh)
        edwards = await door.ask("import_key_pair", KeyName="ed", PublicKeyMaterial=ED25519.encode())

        assert rsa["KeyFingerprint"] == hashlib.md5(der, usedforsecurity=False).digest().hex(":")
        digest = hashlib.sha256(base64.b64decode(ED25519.split()[1])).digest()
        assert edwards["KeyFingerprint"] == base64.b64encode(digest).decode()
        filters = [{"Name": "fingerprint", "Values": [rsa["KeyFingerprint"]]}]
        assert [one["KeyName"] for one in (await door.ask("describe_key_pairs", Filters=filters))["KeyPairs"]] == [
            "rsa"
        ]

    async def test_is_made_once_found_by_its_names_and_deleted_twice(self, door: Door) -> None:
        made = await door.ask("import_key_pair", KeyName="mine", PublicKeyMaterial=ED25519.encode())

        again = await door.refusal("import_key_pair", KeyName="mine", PublicKeyMaterial=ED25519.encode() + b"2")
        no_key = await door.refusal("import_key_pair", KeyName="x", PublicKeyMaterial=b"ssh-rsa nonsense")
        unknown = await door.refusal("describe_key_pairs", KeyNames=["mine", "yours"])
        assert again == ("InvalidKeyPair.Duplicate", 400)
        assert no_key == ("InvalidKey.Format", 400)
        assert unknown == ("InvalidKeyPair.NotFound", 400)
        by_id = await door.ask("describe_key_pairs", KeyPairIds=[made["KeyPairId"]], IncludePublicKey=True)
        assert by_id["KeyPairs"][0]["PublicKey"] == ED25519

        # Not the same request twice in one second: that would be one signature, which is good for one change.
        await door.ask("delete_key_pair", KeyPairId=made["KeyPairId"])
        await door.ask("delete_key_pair", KeyName="mine")
        assert (await door.ask("describe_key_pairs"))["KeyPairs"] == []


class TestASecurityGroup:
    async def test_is_made_shown_and_deleted(self, world: World, door: Door) -> None:
        group_id = await group(door)

        found = (await door.ask("describe_security_groups", GroupNames=["web"]))["SecurityGroups"]
        assert [(one["GroupId"], one["Description"], one["OwnerId"]) for one in found] == [
            (group_id, "about web", PROJECT)
        ]
        number = int(group_id.removeprefix("sg-"), 16)
        other = (await world.api.get(f"/os-security-groups/{number}", who="alice"))["security_group"]
        assert other["name"] == "web"

        await door.ask("delete_security_group", GroupId=group_id)
        unknown = await door.refusal("describe_security_groups", GroupIds=[group_id])
        assert unknown == ("InvalidGroup.NotFound", 400)

    async def test_is_refused_by_its_name_its_use_and_the_quota(self, world: World, door: Door) -> None:
        await group(door)
        assert await door.refusal("create_security_group", GroupName="web", Description="x") == (
            "InvalidGroup.Duplicate",
            400,
        )
        await world.created(security_groups=[{"name": "web"}])
        assert await door.refusal("delete_security_group", GroupName="web") == ("DependencyViolation", 400)
        assert await door.refusal("delete_security_group", GroupName="default") == ("CannotDelete", 400)
        await group(door, "db")
        over = await door.refusal("create_security_group", GroupName="more", Description="x")
        assert over == ("SecurityGroupLimitExceeded", 400)

    async def test_lets_networks_and_groups_in_until_that_is_revoked(self, door: Door) -> None:
        web, db = await group(door, "web"), await group(door, "db")
        pair = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": web}]}

        await door.ask("authorize_security_group_ingress", GroupId=db, IpPermissions=[SSH, pair])

        (shown,) = await permissions(door, db)
        assert [one["CidrIp"] for one in shown["IpRanges"]] == ["10.1.0.0/16"]
        assert [(one["GroupId"], one["GroupName"]) for one in shown["UserIdGroupPairs"]] == [(web, "web")]
        again = await door.refusal("authorize_security_group_ingress", GroupId=db, IpPermissions=[SSH])
        assert again == ("InvalidPermission.Duplicate", 400)

        await door.ask("revoke_security_group_ingress", GroupId=db, IpPermissions=[SSH])
        (shown,) = await permissions(door, db)
        assert shown["IpRanges"] == []
        gone = await door.refusal("revoke_security_group_ingress", GroupName="db", IpPermissions=[SSH])
        assert gone == ("InvalidPermission.NotFound", 400)

    async def test_takes_rules_as_older_clients_say_them(self, door: Door) -> None:
        await door.ask(
            "authorize_security_group_ingress",
            GroupName="default",
            IpProtocol="icmp",
            FromPort=-1,
            ToPort=-1,
            CidrIp="0.0.0.0/0",
        )
        await door.ask("authorize_security_group_ingress", GroupName="default", SourceSecurityGroupName="default")

        (default,) = (await door.ask("describe_security_groups", GroupNames=["default"]))["SecurityGroups"]
        ranges = {(one["IpProtocol"], one["FromPort"], one["ToPort"]) for one in default["IpPermissions"]}
        assert ranges == {("icmp", -1, -1), ("tcp", 1, 65535), ("udp", 1, 65535)}

    async def test_lets_in_by_a_group_and_a_port_no_more_than_that(self, door: Door) -> None:
        web = await group(door)
        asked: dict[str, Any] = {
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 22,
            "SourceSecurityGroupName": "default",
        }

        await door.ask("authorize_security_group_ingress", GroupId=web, **asked)

        (permission,) = await permissions(door, web)
        assert [one["GroupName"] for one in permission["UserIdGroupPairs"]] == ["default"]
        assert (permission["IpProtocol"], permission["FromPort"], permission["IpRanges"]) == ("tcp", 22, [])
        both = await door.refusal("authorize_security_group_ingress", GroupId=web, CidrIp="10.0.0.0/8", **asked)
        assert both == ("InvalidParameterCombination", 400)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"IpProtocol": "gre"}, "InvalidParameterValue"),
            ({"FromPort": 80}, "InvalidParameterValue"),
            ({"IpRanges": [{"CidrIp": "everywhere"}]}, "InvalidParameterValue"),
            ({"IpRanges": []}, "InvalidParameterValue"),
            ({"IpRanges": [], "UserIdGroupPairs": [{"GroupName": "unknown"}]}, "InvalidGroup.NotFound"),
        ],
    )
    async def test_takes_no_rule_that_cannot_be(self, door: Door, change: dict[str, Any], code: str) -> None:
        permission = {**SSH, **change}

        refused = await door.refusal(
            "authorize_security_group_ingress", GroupName="default", IpPermissions=[permission]
        )

        assert refused == (code, 400)

    async def test_takes_as_many_rules_as_the_quota_leaves(self, door: Door) -> None:
        many = [{**SSH, "FromPort": port, "ToPort": port} for port in range(1, 6)]

        over = await door.refusal("authorize_security_group_ingress", GroupName="default", IpPermissions=many)

        assert over == ("RulesPerSecurityGroupLimitExceeded", 400)
        (default,) = (await door.ask("describe_security_groups"))["SecurityGroups"]
        assert default["IpPermissions"] == []


class TestAnAddress:
    async def test_is_kept_given_to_an_instance_taken_from_it_and_released(self, world: World, door: Door) -> None:
        made = await door.ask("allocate_address")
        server_id = await world.active()
        instance = f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, server_id):08x}"

        given = await door.ask("associate_address", PublicIp=made["PublicIp"], InstanceId=instance)

        (shown,) = (await door.ask("describe_addresses", PublicIps=[made["PublicIp"]]))["Addresses"]
        assert (shown["InstanceId"], shown["AllocationId"]) == (instance, made["AllocationId"])
        assert shown["AssociationId"] == given["AssociationId"]
        long = f"eipalloc-{made['AllocationId'].removeprefix('eipalloc-'):0>17}"
        assert (await door.ask("describe_addresses", AllocationIds=[long]))["Addresses"] == [shown]
        elsewhere = {"PublicIp": made["PublicIp"], "InstanceId": instance, "PrivateIpAddress": "192.0.2.1"}
        assert await door.refusal("associate_address", **elsewhere) == ("InvalidParameterValue", 400)
        assert shown["PrivateIpAddress"] == (await world.show(server_id))["addresses"]["private"][0]["addr"]
        assert (await world.show(server_id))["addresses"]["private"][1]["addr"] == made["PublicIp"]

        await door.ask("disassociate_address", AssociationId=given["AssociationId"])
        await door.ask("disassociate_address", PublicIp=made["PublicIp"])
        (free,) = (await door.ask("describe_addresses"))["Addresses"]
        assert "InstanceId" not in free
        await door.ask("release_address", AllocationId=made["AllocationId"])
        assert (await door.ask("describe_addresses"))["Addresses"] == []

    async def test_is_refused_over_the_quota(self, door: Door) -> None:
        await door.ask("allocate_address")

        assert await door.refusal("allocate_address", Domain="standard") == ("AddressLimitExceeded", 400)

    async def test_of_another_project_is_not_there(self, world: World, door: Door) -> None:
        theirs = await door.ask("allocate_address", who="bob")
        server_id = await world.active()
        instance = f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, server_id):08x}"

        for refused in (
            await door.refusal("release_address", PublicIp=theirs["PublicIp"]),
            await door.refusal("associate_address", PublicIp=theirs["PublicIp"], InstanceId=instance),
            await door.refusal("describe_addresses", PublicIps=[theirs["PublicIp"]]),
        ):
            assert refused == ("InvalidAddress.NotFound", 400)
        by_id = await door.refusal("release_address", AllocationId=theirs["AllocationId"])
        assert by_id == ("InvalidAllocationID.NotFound", 400)
