"""What a guest is made of, from what the records say of its server and the files it boots from.

A build, a rebuild, a move, an unshelving and a rescue all make their guests here, so that a guest gets the same devices, addresses
and config drive whichever way it came to its host.
"""

import secrets

from novaflow.models import Address, BuildPlan
from novaflow.virt.config_drive import build_config_drive
from novaflow.virt.driver import BootSource, GuestSpec, StoredVolume
from novaflow.virt.guest_facts import SEED_BYTES, GuestNetwork
from services.compute.host import ComputeHost
from services.compute.images import BootFiles


def guest_spec(
    host: ComputeHost,
    plan: BuildPlan,
    files: BootFiles | None,
    *,
    addresses: tuple[Address, ...] | None = None,
    admin_password: str = "",
) -> GuestSpec:
    """The guest of `plan`'s server on `host`, with a config drive made now.

    `files` None: it brings its own disk (novaflow.virt.driver, `adopt`), and its devices are as the image said that it was made of.
    `addresses` None: the server's own, which it has since its build. Raises Invalid when the plan cannot be put on a config drive.
    """
    server, subnet = plan.server, host.config.network.cidr
    addresses = server.addresses if addresses is None else addresses
    drive = build_config_drive(
        plan,
        network=GuestNetwork(addresses=addresses, subnet=subnet),
        made_at=host.clock.now(),
        random_seed=secrets.token_bytes(SEED_BYTES),
        admin_password=admin_password,
    )
    return GuestSpec(
        server_id=server.id,
        name=server.name,
        project_id=server.project_id,
        user_id=server.user_id,
        flavor=server.flavor,
        disk=files.disk if files else None,
        kernel=files.kernel if files else "",
        ramdisk=files.ramdisk if files else "",
        command_line=files.command_line if files else "",
        config_drive=drive,
        addresses=addresses,
        subnet=subnet,
        properties=files.properties if files else _properties(plan),
        volumes=tuple(StoredVolume(volume_id=one.id, server_id=server.id, device=one.device) for one in plan.volumes),
    )


def boot_source(files: BootFiles) -> BootSource:
    """The same files as another system in a guest's place."""
    return BootSource(
        disk=files.disk,
        kernel=files.kernel,
        ramdisk=files.ramdisk,
        command_line=files.command_line,
        properties=files.properties,
    )


def _properties(plan: BuildPlan) -> dict[str, str]:
    return plan.image.properties if plan.image else {}
