# SPDX-License-Identifier: Apache-2.0
"""The query protocol, read with a parser that is not ours, and with botocore's."""

import contextlib
import xml.etree.ElementTree as ET

import botocore.parsers
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyquorum import errors
from keyquorum.wire import query

NAMESPACE = {"sts": "https://sts.amazonaws.com/doc/2011-06-15/"}


def test_parameters_are_decoded() -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15&Name=a%26b+%C3%A9&Empty="
    assert query.decode(body) == {
        "Action": "GetCallerIdentity",
        "Version": "2011-06-15",
        "Name": "a&b \u00e9",
        "Empty": "",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"Action",
        b"Action=a&",
        b"&Action=a",
        b"Action=%ff",
        b"Action=\xff",
        b"A=a&A=SECRET",
        b"A=SECRET&A=SECRET",
        b"a=b&" * 200,
    ],
)
def test_bad_bodies_are_refused_without_echo(body: bytes) -> None:
    with pytest.raises(errors.ValidationException) as caught:
        query.decode(body)
    assert caught.value.message
    assert "SECRET" not in caught.value.message


@given(st.binary(max_size=100))
def test_any_bytes_give_parameters_or_a_fault(body: bytes) -> None:
    with contextlib.suppress(errors.ValidationException):
        query.decode(body)


def test_botocore_understands_a_result() -> None:
    members = [("Arn", "arn:aws:iam::111122223333:user/a&b"), ("UserId", "AIDA<1>"), ("Account", "111122223333")]
    body = query.encode_result("GetCallerIdentity", members, "request-1")
    model = botocore.session.Session().get_service_model("sts").operation_model("GetCallerIdentity")
    parsed = botocore.parsers.QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, model.output_shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "request-1"
    assert parsed == dict(members)


@pytest.mark.parametrize(
    ("fault", "status", "blamed", "code"),
    [
        (errors.MissingAuthenticationTokenException(), 403, "Sender", "MissingAuthenticationToken"),
        (errors.UnrecognizedClientException(), 403, "Sender", "InvalidClientTokenId"),
        (errors.InvalidSignatureException(), 403, "Sender", "SignatureDoesNotMatch"),
        (errors.IncompleteSignatureException(), 400, "Sender", "IncompleteSignature"),
        (errors.AccessDeniedException(), 403, "Sender", "AccessDenied"),
        (query.unknown_action("A", "B"), 400, "Sender", "InvalidAction"),
        (errors.ValidationException(), 400, "Sender", "ValidationError"),
        (errors.ThrottlingException(), 400, "Sender", "Throttling"),
        (errors.RequestEntityTooLargeException(), 413, "Sender", "RequestEntityTooLarge"),
        (errors.KMSInternalException(), 500, "Receiver", "InternalFailure"),
        (errors.DependencyTimeoutException(), 500, "Receiver", "InternalFailure"),
    ],
)
def test_faults(fault: errors.KMSError, status: int, blamed: str, code: str) -> None:
    got, body = query.encode_fault(fault, "request-1")
    root = ET.fromstring(body)
    assert got == status
    assert root.tag == f"{{{NAMESPACE['sts']}}}ErrorResponse"
    assert root.findtext("sts:Error/sts:Type", namespaces=NAMESPACE) == blamed
    assert root.findtext("sts:Error/sts:Code", namespaces=NAMESPACE) == code
    assert root.findtext("sts:Error/sts:Message", namespaces=NAMESPACE) == (fault.message or "")
    assert root.findtext("sts:RequestId", namespaces=NAMESPACE) == "request-1"


def test_an_unknown_action_is_named() -> None:
    assert query.unknown_action("X", "2011-06-15").message == "Could not find operation X for version 2011-06-15"


@given(st.text(st.characters(exclude_characters="\r")))
def test_any_message_makes_well_formed_xml(message: str) -> None:
    _, body = query.encode_fault(errors.AccessDeniedException(message), "r")
    text = ET.fromstring(body).findtext("sts:Error/sts:Message", namespaces=NAMESPACE)
    assert text is not None
    assert len(text) == len(message)
    kept = [(had, has) for had, has in zip(message, text, strict=True) if has != "\N{REPLACEMENT CHARACTER}"]
    assert all(had == has for had, has in kept)


def test_a_message_cannot_add_elements() -> None:
    _, body = query.encode_fault(errors.AccessDeniedException("</Message><Code>Fine</Code>\x00"), "r")
    assert b"<Code>Fine" not in body
    assert body.count(b"<Code>") == 1
