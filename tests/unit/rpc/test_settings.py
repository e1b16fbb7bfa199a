import pytest

from rpc.settings import BusSettings


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"delivery": "quantum"}, "delivery is 'quantum': it must be 'durable' or 'icehouse'"),
        ({"prefetch": 0}, "prefetch is 0"),
        ({"prefetch": 70_000}, "prefetch is 70000"),
        ({"publish_timeout": -1.0}, "publish_timeout is -1.0: it must not be negative"),
        ({"retries": -1}, "retries is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        BusSettings(**wrong)  # type: ignore[arg-type]


def test_the_defaults_are_durable() -> None:
    assert BusSettings().is_durable
    assert not BusSettings(delivery="icehouse").is_durable
