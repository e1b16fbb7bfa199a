import msgspec
import pytest

from rpc.endpoint import Endpoint
from rpc.envelope import Envelope, Kind, Stage
from rpc.errors import BadMessage
from rpc.procedure import Cast


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    number: int


async def ignore(ask: Ask) -> None:
    """Handle nothing."""


def served(version: str) -> Endpoint:
    return Endpoint(Kind.CAST, Cast(topic="t", method="m", version=version, request=Ask), Ask, ignore)


def asked(version: str, args: bytes = b'{"number": 1}') -> Envelope:
    return Envelope(
        kind=Kind.CAST,
        stage=Stage.HANDLE,
        topic="t",
        method="m",
        unique_id="u",
        version=version,
        request=msgspec.Raw(args),
    )


@pytest.mark.parametrize(("have", "want"), [("1.0", "1.0"), ("1.5", "1.4"), ("4.11", "4.2"), ("1.2.3", "1.2")])
def test_the_same_major_and_no_later_minor_is_served(have: str, want: str) -> None:
    assert served(have).read(asked(want)).request == Ask(number=1)


@pytest.mark.parametrize(("have", "want"), [("1.0", "1.1"), ("2.0", "1.0"), ("1.0", "2.0"), ("1.0", "x"), ("1.0", "1")])
def test_other_versions_are_not_served(have: str, want: str) -> None:
    with pytest.raises(BadMessage, match=f"t.m {want} is asked for; {have} is served"):
        served(have).read(asked(want))


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (b"{}", "missing required field `number`"),
        (b'{"number": "1"}', "Expected `int`, got `str`"),
        (b'{"number": 1, "b": 1, "a": 1}', "surplus arguments a, b"),
        (b"[1]", "args: Expected `object`"),
    ],
)
def test_arguments_must_fit_exactly(args: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        served("1.0").read(asked("1.0", args))
