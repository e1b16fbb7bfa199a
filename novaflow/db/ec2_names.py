"""What EC2 calls a server and what it was made of, as a guest is told: on its config drive, by the metadata service, and as the API says it."""

from collections.abc import Mapping

import msgspec

from novaflow.db.ec2_ids import IMAGE, INSTANCE, Ec2Ids, shown
from novaflow.models import BuildPlan, Ec2Names


async def named(ids: Ec2Ids, plan: BuildPlan) -> BuildPlan:
    """The plan with all the names. A server's number came with it from the database; those of images are remembered."""
    server = plan.server
    images = [id_ for id_ in (server.image_id, server.kernel_id, server.ramdisk_id) if id_]
    numbers = await ids.numbers(IMAGE, images)
    names = Ec2Names(
        instance=plan.ec2.instance or shown("i", await ids.number(INSTANCE, server.id)),
        image=_name("ami", server.image_id, numbers),
        kernel=_name("aki", server.kernel_id, numbers),
        ramdisk=_name("ari", server.ramdisk_id, numbers),
    )
    return msgspec.structs.replace(plan, ec2=names)


def _name(prefix: str, image_id: str, numbers: Mapping[str, int]) -> str:
    return shown(prefix, numbers[image_id]) if image_id else ""
