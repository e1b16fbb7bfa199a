"""How the connection to a broker is encrypted, and who proves what to whom.

The files are read at every connection, so renewed certificates are used from the next one on.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from rpc.errors import Misconfigured


@dataclass(frozen=True, kw_only=True)
class Tls:
    """TLS 1.2 or later. All files are PEM.

    `ca_file` signs the broker's certificate (None: the authorities that this machine trusts). `cert_file` with `key_file` is what we
    show a broker that asks for it; None for the key when the same file holds both. Without `verify` any
    broker is believed to be the right one: for experiments.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if self.key_file is not None and self.cert_file is None:
            raise Misconfigured("key_file", f"the key {self.key_file} belongs to no certificate: name that too")

    def context(self) -> ssl.SSLContext:
        """What a connection is encrypted with, from the files as they are now; raises Misconfigured naming the file."""
        context = self._trusting()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            self._load_certificate(context, self.cert_file)
        return context

    def _trusting(self) -> ssl.SSLContext:
        if self.ca_file is None:
            return ssl.create_default_context()
        _check_readable("ca_file", self.ca_file)
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError:
            raise Misconfigured("ca_file", f"{self.ca_file} holds no PEM certificate") from None

    def _load_certificate(self, context: ssl.SSLContext, cert_file: Path) -> None:
        _check_readable("cert_file", cert_file)
        key_file, key_field = cert_file, "cert_file"
        if self.key_file is not None:
            key_file, key_field = self.key_file, "key_file"
            _check_readable(key_field, key_file)
        if not _holds_certificate(cert_file):
            raise Misconfigured("cert_file", f"{cert_file} holds no PEM certificate")

        def refuse() -> str:
            # Or OpenSSL would ask at the terminal, and wait.
            raise Misconfigured(key_field, f"the private key in {key_file} is encrypted: it must not be")

        try:
            context.load_cert_chain(cert_file, key_file, password=refuse)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise Misconfigured(key_field, f"the key in {key_file} is not that of {cert_file}") from None
            raise Misconfigured(key_field, f"{key_file} holds no PEM private key") from None


def _check_readable(field: str, path: Path) -> None:
    """OpenSSL's own errors name neither the file nor its trouble."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise Misconfigured(field, f"{path} cannot be read: {error.strerror}") from None


def _holds_certificate(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True


def refusal(error: BaseException) -> str:
    """Why TLS kept us from the broker, if it is TLS that `error` or what caused it tells of; else empty.

    No further attempt would end differently until somebody changes a file or the broker.
    """
    told = _ssl_error(error)
    if told is None:
        return ""
    if isinstance(told, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {told.verify_message}"
    reason = getattr(told, "reason", None) or "no reason given"  # only OpenSSL's own errors have one
    if reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS on this port"
    return f"it does not take our certificate: {reason}" if "ALERT" in reason else f"TLS failed: {reason}"


def _ssl_error(error: BaseException | None) -> ssl.SSLError | None:
    """The first one in the chain of causes, which in aiormq's errors may be a ring."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ssl.SSLError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
