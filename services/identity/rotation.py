"""A new key for what is encrypted, while services run that still have the old ones."""

from pathlib import Path

from novaflow.db.database import Database
from novaflow.db.identity import Identity
from novaflow.identity.sealing import Sealing
from services.identity.secrets import rotate_sealing_keys, sealing_keys


async def rotate(db: Database, state_dir: Path) -> int:
    """Make a new key and seal every stored secret with it; says how many. Safe to run again after it was interrupted.

    The key comes first, so a service that meets what it seals finds it in the file. Raises Invalid, ServiceUnavailable.
    """
    rotate_sealing_keys(state_dir)
    sealing = Sealing(lambda: sealing_keys(state_dir))
    return await Identity(db).ec2_credentials.reseal(sealing.again)
