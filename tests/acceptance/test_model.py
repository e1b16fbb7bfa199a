"""Random lives of servers, with the state table as the model: whatever is done in whatever order, everything stays true.

NOVAFLOW_MODEL_EXAMPLES (default 6) and NOVAFLOW_MODEL_STEPS (default 12) make it longer; hypothesis prints how to repeat a failure.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from novaflow.lab.openstack import connect
from services.detached import admin, detached
from tests.support.model import ModelledCloud
from tests.support.rest_actions import REST_ACTIONS, RestAction

EXAMPLES: Final = int(os.environ.get("NOVAFLOW_MODEL_EXAMPLES", "6"))
STEPS: Final = int(os.environ.get("NOVAFLOW_MODEL_STEPS", "12"))
SERVERS: Final = 3  # at a time
CONFIG: Final = """
[compute]
shelved_offload_time = 3600.0
heartbeat_interval = 1.0
[conductor]
task_lease = 20.0
[quota]
instances = 100
cores = 1000
ram = 1000000
"""
PLACES: Final = {
    "sqlite-in-process": (),
    "mariadb-rabbitmq": ("--processes", "--bus", "private", "--db", "private"),
}


@asynccontextmanager
async def modelled(state_dir: Path, *arguments: str) -> AsyncIterator[ModelledCloud]:
    """A cloud on two fake hosts, and its model."""
    state_dir.mkdir(parents=True, exist_ok=True)
    config = state_dir / "model.toml"
    config.write_text(CONFIG)
    more = ["--config", str(config), "--virt", "fake", "--hosts", "2", "--port-base", "0"]

    def guests() -> list[tuple[str, str]]:
        found = state_dir.glob("compute/*/guests/*.json")
        return sorted((path.parent.parent.name, path.stem) for path in found)

    async with detached([*more, *arguments], state_dir) as running, connect(admin(running)) as client:
        facts = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
        image = await client.upload_image("model", BytesIO(bytes(65536)), **facts)
        yield ModelledCloud(client, image, guests)


@contextmanager
def running(state_dir: Path, *arguments: str) -> Iterator[tuple[asyncio.Runner, ModelledCloud]]:
    """The same for hypothesis, whose machines know no event loop."""
    with asyncio.Runner() as runner:
        cloud = modelled(state_dir, *arguments)
        model = runner.run(cloud.__aenter__())
        try:
            yield runner, model
        finally:
            runner.run(cloud.__aexit__(None, None, None))


def lives_of(runner: asyncio.Runner, cloud: ModelledCloud) -> type[RuleBasedStateMachine]:
    """The machine that makes servers, does things to them, and looks whether all is well after each."""
    actions = st.sampled_from(REST_ACTIONS)

    class Lives(RuleBasedStateMachine):
        def any_server(self, number: int) -> str:
            return sorted(cloud.alive)[number % len(cloud.alive)]

        @precondition(lambda _: len(cloud.alive) < SERVERS)
        @rule()
        def boot(self) -> None:
            runner.run(cloud.boot())

        @precondition(lambda _: bool(cloud.alive))
        @rule(number=st.integers(0, SERVERS - 1), action=actions)
        def act(self, number: int, action: RestAction) -> None:
            runner.run(cloud.act(self.any_server(number), action))

        @precondition(lambda _: bool(cloud.alive))
        @rule(number=st.integers(0, SERVERS - 1), one=actions, other=actions)
        def order_two_at_once(self, number: int, one: RestAction, other: RestAction) -> None:
            runner.run(cloud.both(self.any_server(number), one, other))

        @precondition(lambda _: bool(cloud.alive))
        @rule(number=st.integers(0, SERVERS - 1), action=actions, pause=st.floats(0.0, 0.2))
        def delete_in_the_middle(self, number: int, action: RestAction, pause: float) -> None:
            runner.run(cloud.interrupt(self.any_server(number), action, pause))

        @invariant()
        def everything_is_true(self) -> None:
            runner.run(cloud.check())

        def teardown(self) -> None:
            runner.run(cloud.end())

    return Lives


@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", PLACES)
def test_random_lives_of_servers_go_by_the_table(place: str, tmp_path: Path) -> None:
    with running(tmp_path / "state", *PLACES[place]) as (runner, cloud):
        run_state_machine_as_test(
            lives_of(runner, cloud),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                derandomize="NOVAFLOW_MODEL_EXAMPLES" not in os.environ,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
