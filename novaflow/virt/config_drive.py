"""The config drive: what a server is told about itself (novaflow.virt.guest_facts), as files on an ISO 9660 image.

Pure: the same plan, seed and date give the same bytes.
"""

from datetime import datetime
from typing import Final

import msgspec

from novaflow.models import BuildPlan
from novaflow.virt.guest_facts import (
    EC2_VERSIONS,
    LATEST,
    OPENSTACK_VERSIONS,
    Facts,
    GuestNetwork,
    contents,
    ec2_metadata,
    openstack_files,
)
from novaflow.virt.iso9660 import build_image

LABEL: Final = "config-2"


def build_config_drive(
    plan: BuildPlan,
    *,
    network: GuestNetwork,
    made_at: datetime,
    random_seed: bytes,
    admin_password: str = "",
) -> bytes:
    """An image labelled config-2, in Nova's layout. `random_seed` is SEED_BYTES of fresh randomness for the guest's own pool.

    Raises Invalid when the plan's user data or an injected file is not base64.
    """
    facts = Facts(
        plan=plan,
        network=network,
        random_seed=random_seed,
        admin_password=admin_password,
    )
    files: dict[str, bytes] = {}
    for version in (*OPENSTACK_VERSIONS, LATEST):
        files |= {f"openstack/{version}/{name}": data for name, data in openstack_files(facts, version).items()}
    for version in (EC2_VERSIONS[-1], LATEST):
        files[f"ec2/{version}/meta-data.json"] = msgspec.json.encode(ec2_metadata(facts, version))
        if facts.plan.user_data:
            files[f"ec2/{version}/user-data"] = facts.user_data
    files |= {f"openstack/content/{name}": data for name, data in contents(facts).items()}
    return build_image(LABEL, files, made_at)
