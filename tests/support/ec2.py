"""Requests as botocore's own signers sign them: on the wire, and in the form in which whoever received them has them checked."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import SigV2Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from novaflow.identity.ec2_requests import SignedRequest

ACCESS: Final = "8d4f2c6b1e9a4d70b3c5a1f2e6d7c8b9"
SECRET: Final = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"
WAYS: Final[Mapping[str, Callable[[Credentials], Any]]] = {
    "version 2": SigV2Auth,
    "version 4": lambda keys: SigV4Auth(keys, "ec2", "RegionOne"),
    "presigned": lambda keys: SigV4QueryAuth(keys, "ec2", "RegionOne", expires=3600),
}


@dataclass(frozen=True)
class Shape:
    """A request before it is signed; a POST has its parameters in the body."""

    verb: str = "POST"
    url: str = "http://cloud.example:8773/services/Cloud/"
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None

    def unsigned(self) -> AWSRequest:
        """As botocore hands it to a signer."""
        params = {"Action": "DescribeInstances", "Version": "2016-11-15", **(self.params or {})}
        where = {"data": params, "headers": {"Content-Type": FORM}} if self.verb == "POST" else {"params": params}
        request = AWSRequest(method=self.verb, url=self.url, **where)
        for name, value in (self.headers or {}).items():
            request.headers[name] = value
        return request


def signed_v2(shape: Shape, now: datetime, *, access: str = ACCESS, secret: str = SECRET) -> SignedRequest:
    """The request in version 2."""
    request = shape.unsigned()
    with _at(now):
        SigV2Auth(Credentials(access, secret)).add_auth(request)
    params = {name: str(value) for name, value in (request.data or request.params).items()}
    return _received(request, access, params.pop("Signature"), params)


def signed_v4(
    shape: Shape, now: datetime, *, access: str = ACCESS, secret: str = SECRET, region: str = "RegionOne"
) -> SignedRequest:
    """The request in version 4, with an Authorization header."""
    request = shape.unsigned()
    with _at(now):
        SigV4Auth(Credentials(access, secret), "ec2", region).add_auth(request)
    signature = request.headers["Authorization"].rpartition("Signature=")[2]
    params = request.data or request.params
    return _received(request, access, signature, {name: str(value) for name, value in params.items()})


def presigned_v4(
    shape: Shape, now: datetime, *, access: str = ACCESS, secret: str = SECRET, expires: int = 3600
) -> SignedRequest:
    """The request in version 4, with everything in its query."""
    request = shape.unsigned()
    with _at(now):
        SigV4QueryAuth(Credentials(access, secret), "ec2", "RegionOne", expires=expires).add_auth(request)
    params = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    return _received(request, access, params["X-Amz-Signature"], params)


def signed_on_the_wire(
    shape: Shape, way: str, now: datetime, *, access: str = ACCESS, secret: str = SECRET
) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """Verb, target, headers and body of the request, signed in one of WAYS, as botocore hands them to its HTTP library."""
    request = shape.unsigned()
    with _at(now):
        WAYS[way](Credentials(access, secret)).add_auth(request)
    sent = request.prepare()
    split = urlsplit(sent.url)
    default_port = {"http": ":80", "https": ":443"}[split.scheme]
    headers = [("Host", split.netloc.removesuffix(default_port))]  # which http.client adds
    for name, value in sent.headers.items():
        headers.append((name, value.decode() if isinstance(value, bytes) else str(value)))
    body = sent.body or b""
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return sent.method, target, headers, body if isinstance(body, bytes) else body.encode()


def as_json(request: SignedRequest) -> dict[str, Any]:
    """The body of a POST to ec2tokens."""
    members = {name: getattr(request, name) for name in request.__struct_fields__}
    return {"credentials": members}


def _received(request: AWSRequest, access: str, signature: str, params: Mapping[str, str]) -> SignedRequest:
    """What a server has of a request."""
    sent = request.prepare()
    body = sent.body or b""
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in sent.headers.items()}
    split = urlsplit(sent.url)
    headers.setdefault("Host", split.netloc)
    return SignedRequest(
        access=access,
        signature=signature,
        verb=sent.method,
        host=split.netloc,
        path=split.path or "/",
        params=dict(params),
        headers=headers,
        body_hash=hashlib.sha256(body if isinstance(body, bytes) else body.encode()).hexdigest(),
    )


def _at(now: datetime) -> AbstractContextManager[Any]:
    """Lets the signers take `now` for the time: they ask for nothing else of their clock."""
    plain = now.astimezone(UTC)
    return mock.patch.multiple(
        "botocore.auth",
        get_current_datetime=lambda *_, **__: plain.replace(tzinfo=None),
        time=mock.Mock(gmtime=plain.timetuple, strftime=lambda form, moment: plain.strftime(form)),
    )
