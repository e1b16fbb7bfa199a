"""What is tried: every action, from where it may begin, and the steps of its way, read from the state table."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from novaflow.states import ACTIONS, MOVES, Event, Task, Vm, state_of
from tests.crash_matrix.cloud import DESTINATION, SOURCE
from tests.crash_matrix.storage import VOLUME_ACTIONS, VolumeAction
from tests.support.rest_actions import BY_NAME, RestAction

REQUEST: Final = "request"  # the client has asked and has no answer yet
DOWN: Final = "down"  # ordered after the kill
AFTER: Final = "after"  # it has just ended
VICTIMS: Final = ("api", "scheduler", "conductor", SOURCE, DESTINATION, "broker", "database", "image")
_WITHOUT_VOLUMES: Final = frozenset({"scheduler", DESTINATION, "image"})
Step = RestAction | VolumeAction
# Steps of ways that are not gone here: what fails, and the ways of servers in another state or with other settings.
_NOT_GONE: Final = frozenset(
    {
        *(Event.FAILED, Event.BROKEN, Event.BUILD_FAILED, Event.RESCHEDULED, Event.UNSHELVE_UNPLACED),
        *(Event.RESIZE_ROLLED_BACK, Event.REVERTED_OFF, Event.CONFIRMED_OFF, Event.SHELVED_FOR_OFFLOAD),
        *(Event.ABORT_WANTED, Event.COMPLETION_WANTED, Event.LIVE_MIGRATION_CANCELLED),
    }
)
# Passed within a transaction, so nobody ever sees a server there; but a build with volumes waits at the first of them.
_UNSEEN: Final = frozenset({Task.BLOCK_DEVICE_MAPPING, Task.IMAGE_PENDING_UPLOAD, Task.SHELVING_IMAGE_PENDING_UPLOAD})


def _plain(key: str, value: object = None) -> Any:
    return lambda _server, _image: {key: value}


@dataclass(frozen=True)
class Trial:
    """An action and the actions that lead to where it begins. `starts`: where that is; `ends`: what it is to be afterwards.

    `takes_over` is an action that is ordered just before, and may be at any point of its own way.
    """

    name: str
    action: Step
    path: tuple[Step, ...]
    starts: Vm
    ends: Vm
    is_move: bool = False
    takes_over: Step | None = None
    source_is_down: bool = False  # as far as anybody knows

    @property
    def boots(self) -> bool:
        """Whether the server is made by the trial itself."""
        return Event.CREATE_ORDERED in (self.action.event, self.takes_over.event if self.takes_over else None)

    @property
    def boots_with_volumes(self) -> bool:
        """Whether the server is made with a volume that its path has made, and with a new one."""
        return self.boots and self.path != ()

    def __str__(self) -> str:
        return self.name

    def concerns(self, victim: str) -> bool:
        """Whether it has a part in it, or is asked on the way."""
        if isinstance(self.action, VolumeAction):
            return victim not in _WITHOUT_VOLUMES
        return victim != DESTINATION or self.is_move

    @property
    def points(self) -> tuple[str, ...]:
        """When a victim may die, in the order of the way."""
        if isinstance(self.action, VolumeAction):
            return (REQUEST, *(status.value for status in self.action.way), AFTER)
        unseen = _UNSEEN - {Task.BLOCK_DEVICE_MAPPING} if self.boots_with_volumes else _UNSEEN
        tasks = tasks_of(self.starts, self.action.event, unseen)
        if self.action.event is Event.SHELVE_ORDERED and self.ends is Vm.SHELVED_OFFLOADED:
            tasks = (*tasks, Task.SHELVING_OFFLOADING)
        return (REQUEST, *(task.value for task in tasks), AFTER)


def tasks_of(vm: Vm, event: Event, unseen: Collection[Task] = _UNSEEN) -> Sequence[Task]:
    """The task_states of an action that goes well, in the order of its way."""
    before = state_of(vm, "scheduling" if event is Event.CREATE_ORDERED else "")
    ahead = [before if event is Event.CREATE_ORDERED else MOVES[before, event]]
    found: dict[Task, None] = {}
    for here in ahead:  # grows
        if here.task is Task.IDLE and here.vm is not Vm.BUILDING:
            continue
        if here.task is not Task.IDLE and here.task not in unseen:
            found[here.task] = None
        ahead += [
            after
            for (state, happened), after in MOVES.items()
            if state == here and happened not in ACTIONS and happened not in _NOT_GONE and after not in ahead
        ]
    return tuple(found)


_MORE: Final = {
    "boot": RestAction("boot", Event.CREATE_ORDERED, None),
    "soft delete": RestAction("soft delete", Event.SOFT_DELETE_ORDERED, None),
    "restore": RestAction("restore", Event.RESTORE_ORDERED, _plain("restore")),
    "force delete": RestAction("force delete", Event.DELETE_ORDERED, _plain("forceDelete")),
    "set password": RestAction(
        "set password", Event.PASSWORD_ORDERED, _plain("changePassword", {"adminPass": "correct horse"})
    ),
}
_EVACUATE: Final = RestAction("evacuate", Event.EVACUATE_ORDERED, _plain("evacuate", {}))
_ACTIONS: Final[Mapping[str, Step]] = {**BY_NAME, **_MORE, **{action.name: action for action in VOLUME_ACTIONS}}


_WHERE: Final = re.compile(" of | with ")


def _trial(name: str, path: Iterable[str], starts: Vm, ends: Vm, *, is_move: bool = False) -> Trial:
    action = _ACTIONS[_WHERE.split(name)[0]]
    return Trial(name, action, tuple(_ACTIONS[step] for step in path), starts, ends, is_move)


def _evacuation(name: str, *path: str, starts: Vm) -> Trial:
    """The source is said to be dead while it lives, as when its network is: the worst for a server that may only live once."""
    steps = tuple(_ACTIONS[step] for step in path)
    return Trial(name, _EVACUATE, steps, starts, starts, is_move=True, source_is_down=True)


def _deleted_in(name: str, *path: str, starts: Vm = Vm.ACTIVE) -> Trial:
    """A delete takes over from whatever runs."""
    steps = tuple(_ACTIONS[step] for step in path)
    is_move = name in ("resize", "migrate", "confirm", "revert", "live migrate", "unshelve")
    return Trial(
        f"delete in a{'n' * name.startswith('a')} {name}",
        _ACTIONS["force delete"],
        steps,
        starts,
        Vm.DELETED,
        is_move,
        takes_over=_ACTIONS[_WHERE.split(name)[0]],
    )


_FRESH: Final = ("create volume",)
_IN_USE: Final = (*_FRESH, "attach volume")
_KEPT: Final = (*_IN_USE, "detach volume")
_COPIED: Final = (*_KEPT, "snapshot volume")
# fmt: off
TRIALS: Final = (
    _trial("boot",                       (),                    Vm.BUILDING,          Vm.ACTIVE),
    _trial("stop",                       (),                    Vm.ACTIVE,            Vm.STOPPED),
    _trial("start",                      ("stop",),             Vm.STOPPED,           Vm.ACTIVE),
    _trial("reboot",                     (),                    Vm.ACTIVE,            Vm.ACTIVE),
    _trial("hard reboot",                (),                    Vm.ACTIVE,            Vm.ACTIVE),
    _trial("hard reboot of a paused",    ("pause",),            Vm.PAUSED,            Vm.ACTIVE),
    _trial("hard reboot of a suspended", ("suspend",),          Vm.SUSPENDED,         Vm.ACTIVE),
    _trial("pause",                      (),                    Vm.ACTIVE,            Vm.PAUSED),
    _trial("unpause",                    ("pause",),            Vm.PAUSED,            Vm.ACTIVE),
    _trial("suspend",                    (),                    Vm.ACTIVE,            Vm.SUSPENDED),
    _trial("resume",                     ("suspend",),          Vm.SUSPENDED,         Vm.ACTIVE),
    _trial("rescue",                     (),                    Vm.ACTIVE,            Vm.RESCUED),
    _trial("unrescue",                   ("rescue",),           Vm.RESCUED,           Vm.ACTIVE),
    _trial("set password",               (),                    Vm.ACTIVE,            Vm.ACTIVE),
    _trial("rebuild",                    (),                    Vm.ACTIVE,            Vm.ACTIVE),
    _trial("rebuild of a stopped",       ("stop",),             Vm.STOPPED,           Vm.STOPPED),
    _trial("resize",                     (),                    Vm.ACTIVE,            Vm.RESIZED,   is_move=True),
    _trial("resize of a stopped",        ("stop",),             Vm.STOPPED,           Vm.RESIZED,   is_move=True),
    _trial("migrate",                    (),                    Vm.ACTIVE,            Vm.RESIZED,   is_move=True),
    _trial("confirm",                    ("resize",),           Vm.RESIZED,           Vm.ACTIVE,    is_move=True),
    _trial("confirm of a stopped",       ("stop", "resize"),    Vm.RESIZED,           Vm.STOPPED,   is_move=True),
    _trial("revert",                     ("resize",),           Vm.RESIZED,           Vm.ACTIVE,    is_move=True),
    _trial("revert of a stopped",        ("stop", "resize"),    Vm.RESIZED,           Vm.STOPPED,   is_move=True),
    _trial("live migrate",               (),                    Vm.ACTIVE,            Vm.ACTIVE,    is_move=True),
    _trial("live migrate of a paused",   ("pause",),            Vm.PAUSED,            Vm.PAUSED,    is_move=True),
    _trial("create image",               (),                    Vm.ACTIVE,            Vm.ACTIVE),
    _trial("create image of a stopped",  ("stop",),             Vm.STOPPED,           Vm.STOPPED),
    _trial("create backup",              (),                    Vm.ACTIVE,            Vm.ACTIVE),
    _trial("shelve",                     (),                    Vm.ACTIVE,            Vm.SHELVED),
    _trial("shelve of a suspended",      ("suspend",),          Vm.SUSPENDED,         Vm.SHELVED),
    _trial("offload",                    ("shelve",),           Vm.SHELVED,           Vm.SHELVED_OFFLOADED),
    _trial("unshelve",                   ("shelve",),           Vm.SHELVED,           Vm.ACTIVE),
    _trial("unshelve of an offloaded",   ("shelve", "offload"), Vm.SHELVED_OFFLOADED, Vm.ACTIVE,    is_move=True),
    _trial("soft delete",                (),                    Vm.ACTIVE,            Vm.SOFT_DELETED),
    _trial("restore",                    ("soft delete",),      Vm.SOFT_DELETED,      Vm.ACTIVE),
    _trial("force delete",               (),                    Vm.ACTIVE,            Vm.DELETED),
    _trial("force delete of a resized",  ("resize",),           Vm.RESIZED,           Vm.DELETED,   is_move=True),
    _trial("force delete of a shelved",  ("shelve",),           Vm.SHELVED,           Vm.DELETED),
    _trial("force delete of an offloaded", ("shelve", "offload"), Vm.SHELVED_OFFLOADED, Vm.DELETED),
    _evacuation("evacuate", starts=Vm.ACTIVE),
    _evacuation("evacuate of a stopped", "stop", starts=Vm.STOPPED),
    *(_deleted_in(name) for name in ("reboot", "rebuild", "resize", "live migrate", "create image", "shelve", "rescue")),
    _deleted_in("boot",     starts=Vm.BUILDING),
    _deleted_in("revert",   "resize",             starts=Vm.RESIZED),
    _deleted_in("confirm",  "resize",             starts=Vm.RESIZED),
    _deleted_in("unshelve", "shelve", "offload",  starts=Vm.SHELVED_OFFLOADED),
    # A volume is a file of the host from its first server on; the trials of volumes stay where their server is.
    _trial("create volume",                  (),                       Vm.ACTIVE,  Vm.ACTIVE),
    _trial("attach volume",                  _FRESH,                   Vm.ACTIVE,  Vm.ACTIVE),
    _trial("attach volume of a stopped",     (*_FRESH, "stop"),        Vm.STOPPED, Vm.STOPPED),
    _trial("attach volume of another time",  _KEPT,                    Vm.ACTIVE,  Vm.ACTIVE),
    _trial("detach volume",                  _IN_USE,                  Vm.ACTIVE,  Vm.ACTIVE),
    _trial("detach volume of a stopped",     (*_IN_USE, "stop"),       Vm.STOPPED, Vm.STOPPED),
    _trial("delete volume",                  _KEPT,                    Vm.ACTIVE,  Vm.ACTIVE),
    _trial("snapshot volume",                _KEPT,                    Vm.ACTIVE,  Vm.ACTIVE),
    _trial("snapshot volume of a running",   _IN_USE,                  Vm.ACTIVE,  Vm.ACTIVE),
    _trial("delete snapshot",                _COPIED,                  Vm.ACTIVE,  Vm.ACTIVE),
    _trial("copy volume",                    _COPIED,                  Vm.ACTIVE,  Vm.ACTIVE),
    _trial("stop with a volume",             _IN_USE,                  Vm.ACTIVE,  Vm.STOPPED),
    _trial("start with a volume",            (*_IN_USE, "stop"),       Vm.STOPPED, Vm.ACTIVE),
    _trial("hard reboot with a volume",      _IN_USE,                  Vm.ACTIVE,  Vm.ACTIVE),
    _trial("rebuild with a volume",          _IN_USE,                  Vm.ACTIVE,  Vm.ACTIVE),
    _trial("force delete with a volume",     _IN_USE,                  Vm.ACTIVE,  Vm.DELETED),
    _deleted_in("attach volume", *_FRESH),
    _deleted_in("detach volume", *_IN_USE),
    _deleted_in("snapshot volume", *_IN_USE),
    _trial("boot with volumes",              _FRESH,                   Vm.BUILDING, Vm.ACTIVE),
    _deleted_in("boot with volumes", *_FRESH, starts=Vm.BUILDING),
)
# fmt: on


def offloaded_at_once(trials: Iterable[Trial]) -> list[Trial]:
    """The trials where servers leave their host when they are shelved: none waits there, and none is offloaded by itself."""
    offload, shelve = _ACTIONS["offload"], _ACTIONS["shelve"]
    return [
        replace(
            trial,
            path=tuple(step for step in trial.path if step is not offload),
            ends=Vm.SHELVED_OFFLOADED if trial.ends is Vm.SHELVED else trial.ends,
        )
        for trial in trials
        if trial.action is not offload and trial.path[-1:] != (shelve,)
    ]


TRIAL: Final = {trial.name: trial for trial in TRIALS}


@dataclass(frozen=True)
class Cell:
    """One case of the matrix."""

    trial: Trial
    victim: str
    point: str

    def __str__(self) -> str:
        return f"{self.trial}, {self.victim} killed at {self.point}"


def cells(trials: Iterable[Trial], victims: Sequence[str]) -> list[Cell]:
    """The matrix. A host that has no part in an action is not killed for it."""
    return [
        Cell(trial, victim, point)
        for trial in trials
        for victim in victims
        for point in trial.points
        if trial.concerns(victim)
    ]
