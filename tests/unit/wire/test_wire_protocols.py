# SPDX-License-Identifier: Apache-2.0
"""Which protocol a request speaks, and which operation it means."""

from urllib.parse import urlencode

import pytest

from keyquorum import iam_api
from keyquorum.errors import KMSError, UnknownOperationException, UnsupportedOperationException, ValidationException
from keyquorum.model import HttpRequest
from keyquorum.wire.protocols import IAM, JSON11, STS, Protocol, protocol_of

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/x-amz-json-1.1"
IAM_FORM = b"Action=GetUser&Version=2010-05-08"
STS_FORM = b"Action=GetCallerIdentity&Version=2011-06-15"


def http(body: bytes, content_type: bytes = FORM, target: bytes = b"") -> HttpRequest:
    headers = [(b"content-type", content_type), (b"x-amz-target", target)]
    return HttpRequest(b"POST", b"/", headers, body, "127.0.0.1")


def refusal(protocol: Protocol, request: HttpRequest) -> KMSError:
    with pytest.raises(KMSError) as caught:
        protocol.operation(request)
    return caught.value


@pytest.mark.parametrize(
    ("content_type", "body", "protocol"),
    [
        (JSON, b"{}", JSON11),
        (b"Application/X-AMZ-JSON-1.1; charset=utf-8", IAM_FORM, JSON11),
        (FORM, STS_FORM, STS),
        (FORM + b"; charset=utf-8", b"Version=2010-05-08&Action=GetUser", IAM),
        (FORM, IAM_FORM, IAM),
        (FORM, b"Action=GetUser&Version=2010-05-09", STS),
        (FORM, b"Action=GetUser&version=2010-05-08", STS),
        (FORM, b"", STS),
        (FORM, b"\xff\x00", STS),
        (b"application/json", b"{}", None),
        (b"", STS_FORM, None),
    ],
)
def test_the_protocol(content_type: bytes, body: bytes, protocol: Protocol | None) -> None:
    assert protocol_of(http(body, content_type)) is protocol


def test_the_operation() -> None:
    assert JSON11.operation(http(b"", JSON, b"TrentService.Encrypt")) == "Encrypt"
    assert STS.operation(http(STS_FORM)) == "GetCallerIdentity"
    assert IAM.operation(http(IAM_FORM)) == "GetUser"


@pytest.mark.parametrize(
    ("protocol", "body", "message"),
    [
        (STS, b"Action=GetUser&Version=2011-06-15", "Could not find operation GetUser for version 2011-06-15"),
        (STS, b"Action=GetUser&Version=1999-01-01", "Could not find operation GetUser for version 1999-01-01"),
        (STS, b"Action=GetUser", "Could not find operation GetUser for version NO_VERSION_SPECIFIED"),
        (STS, b"Version=2011-06-15", "Could not find operation  for version 2011-06-15"),
        (IAM, b"Version=2010-05-08&Action=getUser", "Could not find operation getUser for version 2010-05-08"),
        (IAM, b"Version=2010-05-08&Action=" + b"A" * 99, f"Could not find operation {'A' * 64} for version 2010-05-08"),
    ],
)
def test_unknown_operations(protocol: Protocol, body: bytes, message: str) -> None:
    error = refusal(protocol, http(body))
    assert type(error) is UnknownOperationException
    assert error.message == message


def test_an_operation_of_the_model_that_a_server_does_not_have() -> None:
    assert type(JSON11.unknown("CreateCustomKeyStore")) is UnsupportedOperationException
    assert IAM.encode_fault(IAM.unknown("GetUser"), "r")[0] == 400


@pytest.mark.parametrize(("protocol", "form", "limit"), [(STS, STS_FORM, 65536), (IAM, IAM_FORM, 131072)])
def test_the_size_of_a_body_is_limited_before_its_sender_is_known(protocol: Protocol, form: bytes, limit: int) -> None:
    body = form + b"&A="
    longest = body.ljust(limit, b"a")
    protocol.operation(http(longest))
    assert type(refusal(protocol, http(longest + b"a"))) is ValidationException


def test_the_longest_policy_fits_percent_encoded() -> None:
    form = {"Action": "PutRolePolicy", "Version": "2010-05-08", "RoleName": "R", "PolicyName": "P"}
    body = urlencode({**form, "PolicyDocument": "\u00ff" * 10240}).encode()
    assert IAM.operation(http(body)) == "PutRolePolicy"
    request = IAM.decode("PutRolePolicy", body)
    assert isinstance(request, iam_api.PutRolePolicyRequest)
    assert request.policy_document == "\u00ff" * 10240


def test_services_have_names_of_their_own() -> None:
    told = [(p.service, p.event_source) for p in (JSON11, STS, IAM)]
    assert told == [
        (b"kms", "kms.amazonaws.com"),
        (b"sts", "sts.amazonaws.com"),
        (b"iam", "iam.amazonaws.com"),
    ]


def test_faults_are_in_the_namespace_of_their_service() -> None:
    assert b'xmlns="https://iam.amazonaws.com/doc/2010-05-08/"' in IAM.encode_fault(ValidationException(), "r")[1]
    assert b'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"' in STS.encode_fault(ValidationException(), "r")[1]
