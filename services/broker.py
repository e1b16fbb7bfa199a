"""Where the configuration says that the broker is, and how we get in."""

from pathlib import Path
from typing import Final

import msgspec

from novaflow.config import Bus
from novaflow.errors import Invalid
from rpc.address import SCHEMES, Address, Tls
from rpc.errors import Misconfigured

_KEYS: Final = {"ca_file": "tls_ca_file", "cert_file": "tls_cert_file", "key_file": "tls_key_file"}


def broker_address(bus: Bus) -> str | Address:
    """What `rpc.connect.open_transport` takes: an Address for a broker, the URL as it is for anything else.

    Raises Invalid naming the key of the configuration that cannot be used, and not the password. The files are read here once, so that
    a mistake in one shows at the start.
    """
    try:
        if bus.url.partition("://")[0].lower() not in SCHEMES:
            _refuse_idle_keys(bus)
            return bus.url
        tls = _tls(bus)
        if tls is not None:
            tls.context()
        credentials_file = Path(bus.credentials_file) if bus.credentials_file else None
        return Address.parse(bus.url, credentials_file=credentials_file, tls=tls)
    except Misconfigured as error:
        raise Invalid(reason=f"{key_of(error)}: {error}") from error


def with_whole_paths(bus: Bus) -> Bus:
    """`bus` for readers with another working directory."""
    files = ("credentials_file", *_KEYS.values())
    return msgspec.structs.replace(
        bus, **{key: str(Path(getattr(bus, key)).absolute()) for key in files if getattr(bus, key)}
    )


def key_of(error: ValueError) -> str:
    """The key of the configuration that a bus error of `rpc` is about."""
    field = error.field if isinstance(error, Misconfigured) else "url"
    return f"bus.{_KEYS.get(field, field)}"


def _tls(bus: Bus) -> Tls | None:
    if not (bus.tls_ca_file or bus.tls_cert_file or bus.tls_key_file) and bus.tls_verify:
        return None
    ca_file, cert_file, key_file = (
        Path(name) if name else None for name in (bus.tls_ca_file, bus.tls_cert_file, bus.tls_key_file)
    )
    return Tls(ca_file=ca_file, cert_file=cert_file, key_file=key_file, verify=bus.tls_verify)


def _refuse_idle_keys(bus: Bus) -> None:
    """Nobody should believe a bus encrypted that is not."""
    for key in ("credentials_file", *_KEYS.values()):
        if getattr(bus, key):
            raise Misconfigured(key, "it is for an amqp:// or amqps:// broker, and bus.url names another bus")
    if not bus.tls_verify:
        raise Misconfigured("tls_verify", "it is for an amqps:// broker, and bus.url names another bus")
