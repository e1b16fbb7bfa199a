"""Actions on deleted servers, and those that nothing may happen to. Sources: nova/api/openstack/compute/deferred_delete.py, lock_server.py."""

from typing import Final

from services.api.openstack.server_action import Actions, accepting, action

ACTIONS: Final[Actions] = {
    "forceDelete": action(accepting(lambda api: api.server_actions.ends.force_delete)),
    "restore": action(accepting(lambda api: api.server_actions.ends.restore)),
    "lock": action(accepting(lambda api: api.server_actions.locks.lock)),
    "unlock": action(accepting(lambda api: api.server_actions.locks.unlock)),
}
