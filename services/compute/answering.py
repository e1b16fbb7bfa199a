"""Everything a compute host answers to of servers that are made and that stay where they are, in one place.

Moves to other hosts have theirs in services.compute.moving.serving.
"""

from novaflow.messages import (
    ATTACH_VOLUME,
    BACKUP_INSTANCE,
    BUILD_AND_RUN_INSTANCE,
    CREATE_VOLUME,
    CREATE_VOLUME_SNAPSHOT,
    DELETE_VOLUME,
    DELETE_VOLUME_SNAPSHOT,
    DETACH_VOLUME,
    GET_CONSOLE_OUTPUT,
    GET_DIAGNOSTICS,
    GET_SCREENSHOT,
    GET_VNC_CONSOLE,
    PAUSE_INSTANCE,
    REBOOT_INSTANCE,
    REBUILD_INSTANCE,
    RESCUE_INSTANCE,
    RESTORE_INSTANCE,
    RESUME_INSTANCE,
    SET_ADMIN_PASSWORD,
    SHELVE_INSTANCE,
    SHELVE_OFFLOAD_INSTANCE,
    SNAPSHOT_INSTANCE,
    SOFT_DELETE_INSTANCE,
    START_INSTANCE,
    STOP_INSTANCE,
    SUSPEND_INSTANCE,
    TERMINATE_INSTANCE,
    TRIGGER_CRASH_DUMP,
    UNPAUSE_INSTANCE,
    UNRESCUE_INSTANCE,
    UNSHELVE_INSTANCE,
)
from rpc.bus import Bus
from services.compute.builder import Builder
from services.compute.host import ComputeHost
from services.compute.image_making import ImageMaking
from services.compute.images import BootImages
from services.compute.imaging import Imaging
from services.compute.memory import Memory
from services.compute.passwords import Passwords
from services.compute.rebuilding import Rebuilding
from services.compute.rescuing import Rescuing
from services.compute.screens import Screens
from services.compute.shelf import Shelf
from services.compute.spawns import Spawns
from services.compute.switch import Switch
from services.compute.uploads import ImageUploads
from services.compute.volume_work import VolumeWork


async def answer(bus: Bus, host: ComputeHost, images: BootImages, uploads: ImageUploads) -> None:
    """Have `bus` take the orders for `host`, once what an earlier process was copying is cleared away."""
    spawns, making = Spawns(host, images), ImageMaking(host, uploads)
    await making.clear()
    _answer_making(bus, Builder(host, images, spawns), Rebuilding(host, images, spawns))
    _answer_power(bus, Switch(host), Memory(host))
    _answer_images(bus, Imaging(host, making), Shelf(host, images, spawns, making))
    _answer_inside(bus, Rescuing(host, images), Passwords(host))
    _answer_questions(bus, Screens(host))
    _answer_volumes(bus, VolumeWork(host))


def _answer_making(bus: Bus, builder: Builder, rebuilding: Rebuilding) -> None:
    bus.on_cast(BUILD_AND_RUN_INSTANCE, builder.build_and_run_instance)
    bus.on_cast(REBUILD_INSTANCE, rebuilding.rebuild_instance)


def _answer_power(bus: Bus, switch: Switch, memory: Memory) -> None:
    bus.on_cast(STOP_INSTANCE, switch.stop_instance)
    bus.on_cast(START_INSTANCE, switch.start_instance)
    bus.on_cast(REBOOT_INSTANCE, switch.reboot_instance)
    bus.on_cast(TERMINATE_INSTANCE, switch.terminate_instance)
    bus.on_cast(SOFT_DELETE_INSTANCE, switch.soft_delete_instance)
    bus.on_cast(RESTORE_INSTANCE, switch.restore_instance)
    bus.on_cast(PAUSE_INSTANCE, memory.pause_instance)
    bus.on_cast(UNPAUSE_INSTANCE, memory.unpause_instance)
    bus.on_cast(SUSPEND_INSTANCE, memory.suspend_instance)
    bus.on_cast(RESUME_INSTANCE, memory.resume_instance)


def _answer_images(bus: Bus, imaging: Imaging, shelf: Shelf) -> None:
    bus.on_cast(SNAPSHOT_INSTANCE, imaging.snapshot_instance)
    bus.on_cast(BACKUP_INSTANCE, imaging.backup_instance)
    bus.on_cast(SHELVE_INSTANCE, shelf.shelve_instance)
    bus.on_cast(SHELVE_OFFLOAD_INSTANCE, shelf.shelve_offload_instance)
    bus.on_cast(UNSHELVE_INSTANCE, shelf.unshelve_instance)


def _answer_inside(bus: Bus, rescuing: Rescuing, passwords: Passwords) -> None:
    bus.on_cast(RESCUE_INSTANCE, rescuing.rescue_instance)
    bus.on_cast(UNRESCUE_INSTANCE, rescuing.unrescue_instance)
    bus.on_cast(SET_ADMIN_PASSWORD, passwords.set_admin_password)


def _answer_questions(bus: Bus, screens: Screens) -> None:
    bus.on_call(GET_CONSOLE_OUTPUT, screens.get_console_output)
    bus.on_call(GET_VNC_CONSOLE, screens.get_vnc_console)
    bus.on_call(GET_SCREENSHOT, screens.get_screenshot)
    bus.on_call(GET_DIAGNOSTICS, screens.get_diagnostics)
    bus.on_call(TRIGGER_CRASH_DUMP, screens.trigger_crash_dump)


def _answer_volumes(bus: Bus, work: VolumeWork) -> None:
    bus.on_cast(CREATE_VOLUME, work.create_volume)
    bus.on_cast(DELETE_VOLUME, work.delete_volume)
    bus.on_cast(ATTACH_VOLUME, work.attach_volume)
    bus.on_cast(DETACH_VOLUME, work.detach_volume)
    bus.on_cast(CREATE_VOLUME_SNAPSHOT, work.create_snapshot)
    bus.on_cast(DELETE_VOLUME_SNAPSHOT, work.delete_snapshot)
