import pytest

from rpc.settings import BusSettings, ProcedureSettings


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"delivery": "quantum"}, "delivery is 'quantum': it must be 'durable' or 'icehouse'"),
        ({"queues": "eternal"}, "queues is 'eternal': it must be 'durable', 'quorum' or 'transient'"),
        ({"prefetch": 0}, "prefetch is 0"),
        ({"prefetch": 70_000}, "prefetch is 70000"),
        ({"publish_timeout": -1.0}, "publish_timeout is -1.0: it must not be negative"),
        ({"retries": -1}, "retries is -1"),
        ({"retry_delay": -0.1}, r"retry_delay is -0\.1"),
        ({"drain_timeout": -1}, "drain_timeout is -1"),
        ({"max_message_bytes": -1}, "max_message_bytes is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        BusSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"delivery": "quantum"}, "delivery is 'quantum': it must be 'durable' or 'icehouse'"),
        ({"delivery": ""}, "delivery is ''"),
        ({"retries": -1}, "retries is -1: it must be at least 0"),
        ({"retry_delay": -1.0}, r"retry_delay is -1\.0: it must be at least 0"),
        ({"concurrency": 0}, "concurrency is 0: it must be at least 1"),
    ],
)
def test_what_cannot_be_for_a_procedure_is_refused_by_name(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ProcedureSettings(**wrong)  # type: ignore[arg-type]


def test_the_defaults_are_durable() -> None:
    anything = ProcedureSettings()

    assert BusSettings().of("t.m", anything).is_durable
    assert not BusSettings(delivery="icehouse").of("t.m", anything).is_durable


@pytest.mark.parametrize(
    ("delivery", "queues", "queue_type", "keeps"),
    [
        ("durable", "", "durable", True),
        ("icehouse", "", "transient", False),
        ("durable", "quorum", "quorum", True),
        ("durable", "transient", "transient", False),
        ("icehouse", "durable", "durable", True),
    ],
)
def test_queues_are_what_the_delivery_needs_or_what_is_said(
    delivery: str, queues: str, queue_type: str, keeps: bool
) -> None:
    settings = BusSettings(delivery=delivery, queues=queues)

    assert (settings.queue_type, settings.keeps_queues) == (queue_type, keeps)


def test_the_users_word_counts_more_than_the_authors_and_his_more_than_the_buss() -> None:
    author = ProcedureSettings(delivery="icehouse", retries=7, retry_delay=7.0, concurrency=7)
    user = ProcedureSettings(delivery="durable", retries=0, retry_delay=0.0, concurrency=1)
    bus = BusSettings(retries=3, retry_delay=1.0)

    plain = bus.of("t.m", ProcedureSettings())
    his = bus.of("t.m", author)
    users = BusSettings(retries=3, retry_delay=1.0, procedures={"t.m": user}).of("t.m", author)
    anothers = BusSettings(procedures={"t.other": user}).of("t.m", author)

    assert (plain.is_durable, plain.retries, plain.retry_delay, plain.concurrency) == (True, 3, 1.0, None)
    assert (his.is_durable, his.retries, his.retry_delay, his.concurrency) == (False, 7, 7.0, 7)
    assert (users.is_durable, users.retries, users.retry_delay, users.concurrency) == (True, 0, 0.0, 1)
    assert anothers == his


def test_each_setting_of_a_procedure_is_chosen_by_itself() -> None:
    bus = BusSettings(retry_delay=5.0, procedures={"t.m": ProcedureSettings(retries=1)})

    policy = bus.of("t.m", ProcedureSettings(retries=9, concurrency=2))

    assert (policy.is_durable, policy.retries, policy.retry_delay, policy.concurrency) == (True, 1, 5.0, 2)
