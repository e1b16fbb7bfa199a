"""Random lives of servers, with the state table as the model: whatever is done in whatever order, everything stays true.

NOVAFLOW_MODEL_EXAMPLES (default 6) and NOVAFLOW_MODEL_STEPS (default 12) make it longer; hypothesis prints how to repeat a failure.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from novaflow.lab.openstack import connect
from services.detached import admin, detached
from tests.support.model import ModelledCloud
from tests.support.model_places import PLACES, Place
from tests.support.rest_actions import BY_NAME, REST_ACTIONS, RestAction, is_allowed, make_twin

EXAMPLES: Final = int(os.environ.get("NOVAFLOW_MODEL_EXAMPLES", "6"))
STEPS: Final = int(os.environ.get("NOVAFLOW_MODEL_STEPS", "12"))
SERVERS: Final = 3  # at a time
LAST: Final = 12  # things done that are told of when something fails
NUMBERS: Final = st.integers(0, 10_000)
CONFIG: Final = """
[compute]
shelved_offload_time = 3600.0
heartbeat_interval = 1.0
stop_timeout = 0.5
[conductor]
task_lease = 20.0
[quota]
instances = 100
cores = 1000
ram = 1000000
"""


@asynccontextmanager
async def modelled(state_dir: Path, where: Place) -> AsyncIterator[ModelledCloud]:
    """A cloud of two hosts, and its model."""
    state_dir.mkdir(parents=True, exist_ok=True)
    config = state_dir / "model.toml"
    config.write_text(CONFIG)
    arguments = ["--config", str(config), "--hosts", "2", "--port-base", "0", *where.arguments]
    async with detached(arguments, state_dir) as running, connect(admin(running)) as client:
        facts = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
        await make_twin(client)
        image = await client.upload_image("model", BytesIO(where.image), **facts)
        yield ModelledCloud(client, image, partial(where.guests, state_dir))


@contextmanager
def running(state_dir: Path, where: Place) -> Iterator[tuple[asyncio.Runner, ModelledCloud]]:
    """The same for hypothesis, whose machines know no event loop."""
    with asyncio.Runner() as runner:
        cloud = modelled(state_dir, where)
        model = runner.run(cloud.__aenter__())
        try:
            yield runner, model
        finally:
            runner.run(cloud.__aexit__(None, None, None))


class Lives(RuleBasedStateMachine):
    """Makes servers, does things to them, and looks after each whether all is well. A test says with which cloud."""

    runner: ClassVar[asyncio.Runner]
    cloud: ClassVar[ModelledCloud]
    lacks: ClassVar[frozenset[str]]
    failures: ClassVar[list[BaseException]]

    def __init__(self) -> None:
        super().__init__()
        if (
            self.failures
        ):  # servers may be left that no example may begin with: its rules would not be those of the others
            raise self.failures[0]

    def live(self, life: Coroutine[Any, Any, object]) -> None:
        """Run it, and keep what goes wrong: hypothesis would try that once more, and a real cloud may do it right then."""
        try:
            self.runner.run(life)
        except Exception as error:
            error.add_note("\n".join(self.cloud.story[-LAST:]))
            self.failures.append(error)
            raise

    def any_server(self, number: int) -> str:
        """One of those that are alive."""
        return sorted(self.cloud.alive)[number % len(self.cloud.alive)]

    def any_action(self, server_id: str, number: int, *, allowed: bool = True) -> RestAction:
        """One that does not end the server, unless nothing else is possible."""
        server = self.cloud.alive[server_id]
        actions = [action for action in REST_ACTIONS if action.body and action.name not in self.lacks]
        fitting = [action for action in actions if is_allowed(action, server) is allowed]
        return fitting[number % len(fitting)] if fitting else BY_NAME["delete"]

    @precondition(lambda self: len(self.cloud.alive) < SERVERS)
    @rule()
    def boot(self) -> None:
        """One more server."""
        self.live(self.cloud.boot())

    @precondition(lambda self: bool(self.cloud.alive))
    @rule(server=NUMBERS, first=NUMBERS, second=NUMBERS)
    def act_twice(self, server: int, first: int, second: int) -> None:
        """Two actions that are possible, one after the other."""
        server_id = self.any_server(server)
        self.live(self.cloud.act(server_id, self.any_action(server_id, first)))
        if server_id in self.cloud.alive:
            self.live(self.cloud.act(server_id, self.any_action(server_id, second)))

    @precondition(lambda self: bool(self.cloud.alive))
    @rule(server=NUMBERS, action=NUMBERS)
    def be_refused(self, server: int, action: int) -> None:
        """An action that is not possible now."""
        server_id = self.any_server(server)
        self.live(self.cloud.act(server_id, self.any_action(server_id, action, allowed=False)))

    @precondition(lambda self: bool(self.cloud.alive))
    @rule(server=NUMBERS, one=NUMBERS, other=NUMBERS)
    def order_two_at_once(self, server: int, one: int, other: int) -> None:
        """Two clients who do not know of each other."""
        server_id = self.any_server(server)
        actions = self.any_action(server_id, one), self.any_action(server_id, other)
        self.live(self.cloud.both(server_id, *actions))

    @precondition(lambda self: len(self.cloud.alive) == SERVERS)
    @rule(server=NUMBERS, action=NUMBERS, pause=st.floats(0.0, 0.2))
    def delete_in_the_middle(self, server: int, action: int, pause: float) -> None:
        """Somebody changes their mind."""
        server_id = self.any_server(server)
        self.live(self.cloud.interrupt(server_id, self.any_action(server_id, action), pause))

    @invariant()
    def everything_is_true(self) -> None:
        """What must be so whenever nothing is being done."""
        self.live(self.cloud.check())

    def teardown(self) -> None:
        """Everything goes, and nothing is left."""
        self.live(self.cloud.end())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", PLACES)
def test_random_lives_of_servers_go_by_the_table(place: str, state_dir: Path) -> None:
    where = PLACES[place]
    where.need()
    choice = settings(
        max_examples=max(1, EXAMPLES // where.slowness),
        stateful_step_count=STEPS,
        deadline=None,
        derandomize="NOVAFLOW_MODEL_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # a cloud is too slow a thing to shrink what it failed at
        print_blob=True,
    )
    with running(state_dir, where) as (runner, cloud):
        Lives.runner, Lives.cloud, Lives.lacks, Lives.failures = runner, cloud, where.lacks, []
        try:
            run_state_machine_as_test(Lives, settings=choice)
        except Exception as error:
            raise (Lives.failures or [error])[0] from None  # what hypothesis makes of a second try says nothing
