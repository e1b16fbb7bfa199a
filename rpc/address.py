"""Where a broker is and how we get in: its nodes, credentials, virtual host and TLS.

    amqp[s]://user:password@host1:port1,host2:port2/vhost?heartbeat=10

Every node of a cluster takes us with the same credentials, so they are named once, or on every host alike as
oslo.messaging writes it, whose `rabbit://` is accepted too. What is special in a URL is percent-encoded in names
and passwords. No error and no repr repeats a password, nor any part of a URL that might be one.
"""

import os
import re
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from stat import S_IMODE, S_IRWXG, S_IRWXO
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from rpc.errors import Misconfigured
from rpc.tls import Tls

__all__ = ["SCHEMES", "Address", "Node", "Tls"]

SCHEMES: Final = ("amqp", "amqps", "rabbit")

_PORT: Final = 5672
_TLS_PORT: Final = 5671
_HEARTBEAT: Final = 10  # seconds; a silent broker is given up after about three of them
_LONGEST_HEARTBEAT: Final = 3600
_LONGEST_VHOST: Final = 255  # bytes; what AMQP calls a short string
_LARGEST_CREDENTIALS: Final = 64 * 1024  # bytes of the file
_GUEST: Final = ("guest", "guest")  # a fresh RabbitMQ lets them in, from its own machine

_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f]")
_UNENCODABLE: Final = re.compile("[\ud800-\udfff]")  # what Python makes of arguments that are not UTF-8
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODE: Final = "is what is special in its user and password percent-encoded?"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the broker."""

    host: str
    port: int

    @property
    def where(self) -> str:
        """`host:port`, for people; an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A broker of one or more nodes and what it takes to enter it.

    With a `credentials_file`, `user` and `password` are what it held when this was made: `entered` looks again.
    """

    nodes: tuple[Node, ...]
    user: str = field(repr=False)
    password: str = field(repr=False)
    vhost: str = "/"
    tls: Tls | None = None
    heartbeat: int = _HEARTBEAT  # seconds
    credentials_file: Path | None = None

    @classmethod
    def parse(cls, url: str, *, credentials_file: Path | None = None, tls: Tls | None = None) -> "Address":
        """Read a URL; user and password come from `credentials_file` if there is one, and not from both.

        `amqps` without `tls` trusts the authorities of this machine. Raises Misconfigured, a ValueError.
        """
        scheme, netloc, path, query = _split(url)
        if scheme == "amqps":
            tls = tls or Tls()
        elif tls is not None:
            raise _bad("TLS is asked for, but the URL is not: it must begin with amqps://")
        entries = [_entry(text) for text in netloc.split(",")]
        nodes = tuple(_node(text, _PORT if tls is None else _TLS_PORT) for _, text in entries)
        if len(set(nodes)) < len(nodes):
            raise _bad("one of the hosts is named twice")
        given = _common([credentials for credentials, _ in entries])
        if credentials_file is None:
            user, password = given or _GUEST
        elif given is None:
            user, password = _read_credentials(credentials_file)
        else:
            raise _bad("there is a credentials file: the URL must not hold a user or password then")
        return cls(
            nodes=nodes,
            user=user,
            password=password,
            vhost=_vhost(path),
            tls=tls,
            heartbeat=_heartbeat(query),
            credentials_file=credentials_file,
        )

    @property
    def where(self) -> str:
        """All nodes, for people."""
        return ", ".join(node.where for node in self.nodes)

    def entered(self) -> "Address":
        """With the credentials of now, to be asked for at every attempt to connect: they may have been changed.

        Raises Misconfigured when the file cannot be used. While it is being replaced that passes, so that whoever was connected
        before tries again.
        """
        if self.credentials_file is None:
            return self
        user, password = _read_credentials(self.credentials_file)
        return replace(self, user=user, password=password)

    def url(self, node: Node) -> str:
        """A URL of one node for the AMQP library. It holds the password."""
        scheme = "amqp" if self.tls is None else "amqps"
        user, password, vhost = (quote(text, safe="") for text in (self.user, self.password, self.vhost))
        return f"{scheme}://{user}:{password}@{node.where}/{vhost}?heartbeat={self.heartbeat}"


def _bad(reason: str) -> Misconfigured:
    return Misconfigured("url", reason)


def _split(url: str) -> tuple[str, str, str, str]:
    """Scheme, hosts, path and query. Not urllib's: it repeats what it does not like, and drops what it does not see."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise _bad("the broker's URL must begin with amqp://, amqps:// or rabbit://")
    if _UNPRINTABLE.search(rest) or _UNENCODABLE.search(rest) or "#" in rest:
        raise _bad(f"the broker's URL is malformed: {_ENCODE}")
    rest, _, query = rest.partition("?")
    netloc, _, path = rest.partition("/")
    if "@" in path:
        # A password with a slash in it, most likely; what follows the slash would pass for a virtual host, and be shown.
        raise _bad(f"the broker's URL is malformed: {_ENCODE}")
    return scheme, netloc, path, query


def _decoded(text: str, name: str) -> str:
    if _BAD_PERCENT.search(text):
        raise _bad(f"the {name} in the broker's URL is malformed: a percent sign is written %25")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _bad(f"the {name} in the broker's URL is not UTF-8") from None


def _entry(text: str) -> tuple[tuple[str, str] | None, str]:
    """Credentials, if any, and host of one part between commas."""
    userinfo, separator, host = text.rpartition("@")
    if not separator:
        return None, host
    user, separator, password = userinfo.partition(":")
    if "@" in userinfo or ":" in password:
        raise _bad(f"the broker's URL is malformed: {_ENCODE}")
    if not separator:
        raise _bad("the broker's URL names a user without a password")
    user, password = _decoded(user, "user"), _decoded(password, "password")
    trouble = _trouble(user, password)
    if trouble:
        raise _bad(f"the broker's URL is of no use: {trouble}")
    return (user, password), host


def _trouble(user: str, password: str) -> str:
    """What no broker would take, and the AMQP library would take for something else."""
    for name, text in (("user", user), ("password", password)):
        if not text:
            return f"its {name} is empty"
        if "\0" in text:
            return f"its {name} holds a zero byte"
    return ""


def _common(given: list[tuple[str, str] | None]) -> tuple[str, str] | None:
    """The credentials that hold for every host: the first one's."""
    first, *others = given
    if any(one is not None and one != first for one in others):
        raise _bad(f"every host must have the credentials of the first, or none; or {_ENCODE}")
    return first


def _node(text: str, default_port: int) -> Node:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        try:
            IPv6Address(host)
        except AddressValueError:
            bracket = ""
        if not bracket or "%" in host or (rest and not rest.startswith(":")):
            raise _bad("an IPv6 address in the broker's URL must be [address] or [address]:port, without a zone")
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
        if not host:
            raise _bad("the broker's URL names no host, or has a comma too many, or an IPv6 address without brackets")
        if not _HOST.fullmatch(host):
            raise _bad(f"a host name in the broker's URL is malformed: {_ENCODE}")
    if not port and not text.endswith(":"):
        return Node(host, default_port)
    # Its text may be half a password with a colon in it.
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise _bad(f"a port in the broker's URL is not a number from 1 to 65535; {_ENCODE}")
    return Node(host, int(port))


def _vhost(path: str) -> str:
    vhost = _decoded(path, "virtual host") or "/"
    if len(vhost.encode()) > _LONGEST_VHOST:
        raise _bad(f"the virtual host in the broker's URL is longer than {_LONGEST_VHOST} bytes")
    # An URL library between us and the broker would resolve these, or decode them twice.
    if vhost in (".", "..") or "%2F" in vhost or "\0" in vhost:
        raise _bad(
            "the virtual host in the broker's URL cannot be reached: it must hold no %2F of its own and be more than . or .."
        )
    return vhost


def _heartbeat(query: str) -> int:
    if not query:
        return _HEARTBEAT
    name, _, value = query.partition("=")
    if name != "heartbeat":
        raise _bad(f"the broker's URL may hold heartbeat=SECONDS after its question mark, and nothing else; {_ENCODE}")
    if not re.fullmatch("[0-9]{1,4}", value) or not 1 <= int(value) <= _LONGEST_HEARTBEAT:
        raise _bad(f"heartbeat in the broker's URL is not a number of seconds from 1 to {_LONGEST_HEARTBEAT}")
    return int(value)


class _Credentials(msgspec.Struct, forbid_unknown_fields=True):
    user: str
    password: str


def _read_credentials(path: Path) -> tuple[str, str]:
    try:
        with path.open("rb") as file:
            # Of the file that was opened: another one may take its name meanwhile.
            mode = S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_LARGEST_CREDENTIALS + 1)
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}") from None
    if mode & (S_IRWXG | S_IRWXO):
        raise _unusable(f"{path} has mode {mode:04o}: others than its owner may use it; it must be 0600")
    if len(text) > _LARGEST_CREDENTIALS:
        raise _unusable(f"{path} is larger than {_LARGEST_CREDENTIALS} bytes")
    try:
        held = msgspec.json.decode(text, type=_Credentials)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _unusable(f'{path} must hold {{"user": "...", "password": "..."}} and nothing else') from None
    trouble = _trouble(held.user, held.password)
    if trouble:
        raise _unusable(f"{path}: {trouble}")
    return held.user, held.password


def _unusable(reason: str) -> Misconfigured:
    return Misconfigured("credentials_file", reason)
