import msgspec
import pytest

from rpc.endpoint import Endpoint, Versions
from rpc.envelope import DEADLINE, TRACEPARENT, Kind, Request, Stage
from rpc.errors import BadMessage, UnsupportedVersion
from rpc.metrics import ProcedureMetrics
from rpc.procedure import Cast
from rpc.settings import BusSettings, ProcedureSettings
from rpc.transport import Destination, destination, everyone

HERE = destination("t")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    number: int


class User(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    context: User | None
    number: int = 0


async def ignore(ask: object) -> None:
    """Handle nothing."""


def served(
    version: str = "1.0", *, kind: Kind = Kind.CAST, request: type = Ask, others: tuple[str, ...] = ()
) -> Endpoint:
    versions = Versions()
    for each in (version, *others):
        versions.add(each)
    return Endpoint(
        kind,
        Cast(topic="t", method="m", version=version, request=request),
        request,
        ignore,
        policy=BusSettings().of("t.m", ProcedureSettings()),
        metrics=ProcedureMetrics(),
        versions=versions,
    )


def asked(version: str = "1.0", args: bytes = b'{"number": 1}', **more: str | None) -> Request:
    return msgspec.structs.replace(
        Request(method="m", args=msgspec.Raw(args), version=version, unique_id="u"),
        **more,
    )


@pytest.mark.parametrize(("have", "want"), [("1.0", "1.0"), ("1.5", "1.4"), ("4.11", "4.2"), ("1.2.3", "1.2")])
def test_the_same_major_and_no_later_minor_is_served(have: str, want: str) -> None:
    assert served(have).read(asked(want), HERE) == Ask(number=1)


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("1.0", "1.1"),
        ("2.0", "1.0"),
        ("1.0", "2.0"),
        ("1.0", "x"),
        ("1.0", "1"),
        ("1.0", "1.-0"),
        ("1.0", "1." + "0" * 5000),
    ],
    ids=lambda version: version[:10],
)
def test_other_versions_are_not_served(have: str, want: str) -> None:
    with pytest.raises(UnsupportedVersion, match=f"t.m {want[:20]} is asked for; {have} is served"):
        served(have).read(asked(want), HERE)


def test_a_topics_latest_version_holds_for_its_older_procedures() -> None:
    older = served("1.0", others=("1.7", "2.3"))

    assert older.read(asked("1.7"), HERE) == Ask(number=1)
    for wanted in ("1.8", "2.0"):
        with pytest.raises(UnsupportedVersion):
            older.read(asked(wanted), HERE)


@pytest.mark.parametrize("version", ["", "1", "one.two", "1.", "1.²", "-1.0"])
def test_a_procedure_has_a_version_that_is_one(version: str) -> None:
    with pytest.raises(ValueError, match=r"must be major\.minor"):
        served(version)


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
        served("1.0").read(asked("1.0", args), HERE)


def test_another_namespace_is_not_served() -> None:
    with pytest.raises(UnsupportedVersion, match="namespace 'other' is not served"):
        served().read(asked(namespace="other"), HERE)


@pytest.mark.parametrize(
    ("kind", "source", "answer", "why"),
    [
        (Kind.CAST, everyone("t"), {}, "t.m is a cast, not a fanout"),
        (Kind.CAST, HERE, {"msg_id": "m", "reply_to": "r"}, "t.m is a cast, not a call"),
        (Kind.FANOUT, HERE, {}, "t.m is a fanout, not a cast"),
        (Kind.FANOUT, everyone("t"), {"msg_id": "m", "reply_to": "r"}, "t.m is a fanout, not a call"),
        (Kind.CALL, HERE, {}, "t.m is a call, not a cast"),
        (Kind.CALL, everyone("t"), {}, "t.m is a call, not a fanout"),
    ],
)
def test_a_procedure_is_asked_for_in_its_own_way(
    kind: Kind, source: Destination, answer: dict[str, str], why: str
) -> None:
    with pytest.raises(BadMessage, match=why):
        served(kind=kind).read(msgspec.structs.replace(asked(), **answer), source)


@pytest.mark.parametrize("args", [b'{"number": 2}', b' \n{ "number" : 2 }', b"{}", b"{ }"])
def test_a_context_beside_the_arguments_becomes_one_of_them(args: bytes) -> None:
    inner = '{"method": "m", "args": {}, "_context_user_id": "u", "_context_unheard_of": [1]}'

    read = served(request=Asked).read(asked(args=args, inner=inner), HERE)

    assert read == Asked(context=User(user_id="u"), number=2 if b"2" in args else 0)


def test_a_context_among_the_arguments_stays_what_it_is() -> None:
    inner = '{"_context_user_id": "other"}'

    assert served(request=Asked).read(asked(args=b'{"context": {"user_id": "u"}}', inner=inner), HERE) == Asked(
        context=User(user_id="u")
    )
    assert served(request=Asked).read(asked(args=b'{"context": null}'), HERE) == Asked(context=None)


def test_a_missing_or_unfit_context_is_named() -> None:
    with pytest.raises(BadMessage, match="missing required field `context`"):
        served(request=Asked).read(asked(), HERE)
    with pytest.raises(BadMessage, match=r"Expected `str`, got `int` - at `\$\.context\.user_id`"):
        served(request=Asked).read(asked(inner='{"_context_user_id": 5}'), HERE)


def test_hooks_see_the_whole_request() -> None:
    request = asked(msg_id="m1", reply_to="reply_1")
    headers: dict[str, object] = {TRACEPARENT: "00-a-b-01", DEADLINE: 1500}

    envelope = served().envelope(request, Ask(number=1), headers, destination("t", "h1"), 2)

    assert (envelope.kind, envelope.stage, envelope.name, envelope.host) == (Kind.CAST, Stage.HANDLE, "t.m", "h1")
    assert (envelope.request, envelope.retries, envelope.unique_id) == (Ask(number=1), 2, "u")
    assert (envelope.msg_id, envelope.reply_to) == ("m1", "reply_1")
    assert (envelope.traceparent, envelope.deadline) == ("00-a-b-01", 1.5)
