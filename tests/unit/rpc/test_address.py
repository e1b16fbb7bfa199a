import asyncio
import json
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from aiormq.auth import PlainAuth
from aiormq.connection import Connection
from hypothesis import given
from hypothesis import strategies as st

from rpc.address import Address, Node, Tls
from rpc.errors import Misconfigured

NAME = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30)
HOST = st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,5})?", fullmatch=True) | st.sampled_from(
    ["::1", "fe80::2"]
)
NODES = st.lists(st.builds(Node, HOST, st.integers(1, 65535)), min_size=1, max_size=3, unique=True)


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    vhost = draw(NAME.filter(lambda name: "%2F" not in name and name not in (".", "..")))
    return Address(
        nodes=tuple(draw(NODES)),
        user=draw(NAME),
        password=draw(NAME),
        vhost=vhost,
        tls=draw(st.sampled_from([None, Tls(verify=False)])),
        heartbeat=draw(st.integers(1, 3600)),
    )


def credentials(path: Path, text: str, mode: int = 0o600) -> Path:
    path.touch()
    path.write_text(text)
    path.chmod(mode)
    return path


def read_or_refused(url: str) -> Address | Misconfigured:
    try:
        return Address.parse(url)
    except Misconfigured as error:
        return error


def refused(url: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        Address.parse(url)
    assert caught.value.field == "url"
    return "".join(traceback.format_exception(caught.value))


def test_a_url_says_where_the_broker_is_and_how_to_enter() -> None:
    address = Address.parse("amqp://nova:pa%40ss@h1:1,h2:2/cells?heartbeat=3")

    assert address == Address(
        nodes=(Node("h1", 1), Node("h2", 2)), user="nova", password="pa@ss", vhost="cells", heartbeat=3
    )
    assert address.where == "h1:1, h2:2"


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("amqp://h", [Node("h", 5672)]),
        ("AMQP://H.Example-1.com.:7/", [Node("H.Example-1.com.", 7)]),
        ("amqps://h,g", [Node("h", 5671), Node("g", 5671)]),
        ("rabbit://u:p@h:1,u:p@g:2//", [Node("h", 1), Node("g", 2)]),
        ("rabbit://u:p@h,g", [Node("h", 5672), Node("g", 5672)]),
        ("amqp://[::1]", [Node("::1", 5672)]),
        ("amqps://u:p@[fe80::1]:7,10.0.0.1/", [Node("fe80::1", 7), Node("10.0.0.1", 5671)]),
    ],
)
def test_hosts_and_ports_are_read_in_every_accepted_form(url: str, nodes: list[Node]) -> None:
    assert list(Address.parse(url).nodes) == nodes


@pytest.mark.parametrize(
    ("path", "vhost"),
    [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("/%2F", "/"),
        ("/nova", "nova"),
        ("/a%2Fb", "a/b"),
        ("/a%2F..", "a/.."),
        ("/%C3%A9%20%25", "é %"),
    ],
)
def test_the_path_is_the_virtual_host(path: str, vhost: str) -> None:
    assert Address.parse(f"amqp://u:p@h{path}").vhost == vhost


def test_without_credentials_a_fresh_brokers_guest_is_meant() -> None:
    address = Address.parse("amqp://h")

    assert (address.user, address.password) == ("guest", "guest")


def test_amqps_without_more_trusts_the_authorities_of_the_machine() -> None:
    assert Address.parse("amqps://h").tls == Tls()
    assert Address.parse("amqp://h").tls is None


@given(address=addresses())
def test_what_is_written_as_a_url_reads_the_same(address: Address) -> None:
    tls = address.tls

    for node in address.nodes:
        assert Address.parse(address.url(node), tls=tls) == replace(address, nodes=(node,))


@given(address=addresses())
def test_the_amqp_library_understands_the_url_as_we_do(address: Address) -> None:
    async def understood() -> tuple[object, ...]:
        connection = Connection(address.url(address.nodes[0]))
        plain = PlainAuth(connection).encode()
        await connection.close()
        url = connection.url
        return url.scheme, url.host, url.port, plain, connection.vhost, connection.heartbeat_timeout

    node = address.nodes[0]
    scheme = "amqps" if address.tls else "amqp"
    plain = f"\0{address.user}\0{address.password}"
    assert asyncio.run(understood()) == (scheme, node.host, node.port, plain, address.vhost, address.heartbeat)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "amqp:",
        "amqp:u:s3cret@h",
        "redis://u:s3cret@h",
        "amqp://",
        "amqp:///nova",
        "amqp://u:s3cret@/",
        "amqp://u:s3cret@h,",
        "amqp://u:s3cret@h,,g",
        "amqp://u:s3cret@h,h",
        "amqp://u:s3cret@h:0",
        "amqp://u:s3cret@h:",
        "amqp://u:s3cret@h:65536",
        "amqp://u:s3cret@h:٣",
        "amqp://u:s3cret@h:1:2",
        "amqp://u:s3cret@::1/",
        "amqp://u:s3cret@[::1/",
        "amqp://u:s3cret@[::1]x/",
        "amqp://u:s3cret@[fe80::1%eth0]/",
        "amqp://u:s3cret@[nonsense]/",
        "amqp://u:s3cret@-h/",
        "amqp://u:s3cret@hö/",
        "amqp://u:s3cret@h%41/",
        "amqp://s3cret@h",
        "amqp://:s3cret@h",
        "amqp://s3cret:@h",
        "amqp://u:@s3cret@h",
        "amqp://u:s3:cret@h",
        "amqp://u:s3#cret@h/",
        "amqp://u:s3/cret@h/",
        "amqp://u:s3?cret@h/",
        "amqp://u:7/s3cret@h/",
        "amqp://u:7?s3cret@h/",
        "amqp://u:s3,cret@h/",
        "amqp://u:7,s3cret@h/",
        "amqp://u:7,s3:cret@h/",
        "amqp://u:s3 cret@h/",
        "amqp://u:s3\ncret@h/",
        "amqp://u:s3\udcffcret@h/",
        "amqp://u:s3%cret@h/",
        "amqp://u:s3%FFcret@h/",
        "amqp://u:s3%00cret@h/",
        "amqp://u:s3cret@h,v:s3cret@g",
        "amqp://u:s3cret@h,u:s3cret2@g",
        "amqp://h,u:s3cret@g",
        "amqp://u:s3cret@h/%zz",
        "amqp://u:s3cret@h/..",
        "amqp://u:s3cret@h/a%252Fb",
        "amqp://u:s3cret@h/%00",
        "amqp://u:s3cret@h/" + "v" * 256,
        "amqp://u:s3cret@h/?heartbeat=0",
        "amqp://u:s3cret@h/?heartbeat=9999",
        "amqp://u:s3cret@h/?heartbeat=-1",
        "amqp://u:s3cret@h/?heartbeat=1&ssl=1",
        "amqp://u:s3cret@h/?s3cret=1",
    ],
)
def test_a_bad_url_is_refused_and_not_repeated(url: str) -> None:
    told = refused(url)

    assert "cret" not in told
    assert "s3" not in told


@given(
    password=st.text(st.sampled_from("@:/?#,%[]&= \t\\éZ\udc80"), min_size=1, max_size=6).map("s3{}cret".format),
    rest=st.sampled_from(["h:5672/", "h", "h1,h2/v", "[::1]:5/", ":/", "h:x", "h/?a=b"]),
)
def test_no_error_holds_what_may_be_a_password(password: str, rest: str) -> None:
    read = read_or_refused(f"amqp://nova:{password}@{rest}")
    told = f"{read} {read!r}"

    assert "s3" not in told
    assert "cret" not in told


@given(url=st.text(max_size=40) | st.text(st.sampled_from("amqps:/@,.[]?%#=h1é"), max_size=25).map("amqp://{}".format))
def test_whatever_stands_in_a_url_is_read_or_refused(url: str) -> None:
    read = read_or_refused(url)

    if isinstance(read, Misconfigured):
        assert read.field == "url"
    else:
        assert all(Address.parse(read.url(node)).nodes == (node,) for node in read.nodes)


def test_an_address_shows_neither_user_nor_password() -> None:
    shown = repr(Address.parse("amqp://n0va:s3cret@h/v"))

    assert "s3cret" not in shown
    assert "n0va" not in shown
    assert "Node(host='h', port=5672)" in shown


def test_tls_that_the_url_does_not_ask_for_is_refused() -> None:
    with pytest.raises(Misconfigured, match="amqps://"):
        Address.parse("amqp://u:s3cret@h", tls=Tls())


def test_credentials_come_from_a_file_and_are_read_again(tmp_path: Path) -> None:
    file = credentials(tmp_path / "bus.json", '{"user": "nova", "password": "f1rst"}')

    address = Address.parse("amqp://h", credentials_file=file)
    credentials(file, '{"user": "nova", "password": "s/cond é"}')

    assert (address.user, address.password) == ("nova", "f1rst")
    assert (address.entered().user, address.entered().password) == ("nova", "s/cond é")
    assert "f1rst" not in repr(address)
    assert address.entered().nodes == address.nodes


def test_an_address_without_a_file_enters_as_it_is() -> None:
    address = Address.parse("amqp://u:p@h")

    assert address.entered() is address


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_credentials_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = credentials(tmp_path / "bus.json", '{"user": "nova", "password": "s3cret"}', mode)

    with pytest.raises(Misconfigured, match=f"{file} has mode {mode:04o}: .* 0600") as caught:
        Address.parse("amqp://h", credentials_file=file)

    assert caught.value.field == "credentials_file"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3cret",
        "[]",
        '["s3cret"]',
        '{"user": "s3cret"}',
        '{"user": "u", "password": "s3cret", "s3cret": 1}',
        '{"user": "u", "password": ["s3cret"]}',
        '{"user": "", "password": "s3cret"}',
        '{"user": "s3cret", "password": ""}',
        '{"user": "u", "password": "s3cret\\u0000"}',
        '{"user": "u", "password": "s3cret\\ud800"}',
        '{"user": "u", "password": "s3cret"',
        "[" * 60_000,
        '{"user":' + "[" * 60_000,
        json.dumps({"user": "u", "password": "s3cret" * 20_000}),
    ],
)
def test_a_credentials_file_that_says_something_else_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    file = credentials(tmp_path / "bus.json", text)

    with pytest.raises(Misconfigured, match=str(file)) as caught:
        Address.parse("amqp://h", credentials_file=file)

    assert caught.value.field == "credentials_file"
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_credentials_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"{tmp_path / 'none'} cannot be read: No such file"):
        Address.parse("amqp://h", credentials_file=tmp_path / "none")


def test_a_directory_is_no_credentials_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read: Is a directory"):
        Address.parse("amqp://h", credentials_file=tmp_path)


def test_credentials_stand_in_one_place_only(tmp_path: Path) -> None:
    file = credentials(tmp_path / "bus.json", '{"user": "nova", "password": "p"}')

    with pytest.raises(Misconfigured, match="must not hold"):
        Address.parse("amqp://u:s3cret@h", credentials_file=file)
