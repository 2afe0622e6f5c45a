# SPDX-License-Identifier: Apache-2.0
"""Answers in XML, read with a parser that is not ours. The operations' are in test_wire_query_models.py."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyquorum import errors, iam_api
from keyquorum.wire import query_xml

URI = "https://sts.amazonaws.com/doc/2011-06-15/"
NAMESPACE = {"sts": URI}


@pytest.mark.parametrize(
    ("fault", "status", "blamed", "code"),
    [
        (errors.MissingAuthenticationTokenException(), 403, "Sender", "MissingAuthenticationToken"),
        (errors.UnrecognizedClientException(), 403, "Sender", "InvalidClientTokenId"),
        (errors.InvalidSignatureException(), 403, "Sender", "SignatureDoesNotMatch"),
        (errors.IncompleteSignatureException(), 400, "Sender", "IncompleteSignature"),
        (errors.AccessDeniedException(), 403, "Sender", "AccessDenied"),
        (errors.ExpiredTokenException(), 403, "Sender", "ExpiredToken"),
        (errors.ExpiredWebIdentityTokenException(), 400, "Sender", "ExpiredTokenException"),
        (query_xml.unknown_action("A", "B"), 400, "Sender", "InvalidAction"),
        (errors.SerializationException(), 400, "Sender", "MalformedInput"),
        (errors.ValidationException(), 400, "Sender", "ValidationError"),
        (errors.InvalidMarkerException(), 400, "Sender", "ValidationError"),
        (errors.NoSuchEntityException(), 404, "Sender", "NoSuchEntity"),
        (errors.LimitExceededException(), 409, "Sender", "LimitExceeded"),
        (errors.ThrottlingException(), 400, "Sender", "Throttling"),
        (errors.RequestEntityTooLargeException(), 413, "Sender", "RequestEntityTooLarge"),
        (errors.KMSInternalException(), 500, "Receiver", "InternalFailure"),
        (errors.DependencyTimeoutException(), 500, "Receiver", "InternalFailure"),
    ],
)
def test_faults(fault: errors.KMSError, status: int, blamed: str, code: str) -> None:
    got, body = query_xml.encode_fault(fault, URI, "request-1")
    root = ET.fromstring(body)
    assert got == status
    assert root.tag == f"{{{URI}}}ErrorResponse"
    assert root.findtext("sts:Error/sts:Type", namespaces=NAMESPACE) == blamed
    assert root.findtext("sts:Error/sts:Code", namespaces=NAMESPACE) == code
    assert root.findtext("sts:Error/sts:Message", namespaces=NAMESPACE) == (fault.message or "")
    assert root.findtext("sts:RequestId", namespaces=NAMESPACE) == "request-1"


def test_the_text_of_an_answer() -> None:
    """Absent members are left out, an empty list is not; dates are UTC in whole seconds, cut and not rounded up."""
    user = iam_api.User(user_name="a&b", create_date=1700000000.999, tags=[])
    assert query_xml.encode("GetUser", iam_api.GetUserResponse(user=user), "urn:x", "r") == (
        b'<GetUserResponse xmlns="urn:x"><GetUserResult><User><UserName>a&amp;b</UserName>'
        b"<CreateDate>2023-11-14T22:13:20Z</CreateDate><Tags /></User></GetUserResult>"
        b"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetUserResponse>"
    )


def test_an_operation_without_result() -> None:
    assert query_xml.encode("DeleteUser", None, "urn:x", "r") == (
        b'<DeleteUserResponse xmlns="urn:x"><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>'
        b"</DeleteUserResponse>"
    )


def test_a_date_given_as_a_whole_number_is_a_date() -> None:
    user = iam_api.User(create_date=1700000000)
    body = query_xml.encode("GetUser", iam_api.GetUserResponse(user=user), "urn:x", "r")
    assert b"<CreateDate>2023-11-14T22:13:20Z<" in body


def test_policy_documents_are_percent_encoded() -> None:
    role = iam_api.Role(assume_role_policy_document='{"a": "~-._*/+"}', description='{"a": 1}')
    body = query_xml.encode("GetRole", iam_api.GetRoleResponse(role=role), "urn:x", "r")
    assert b"<AssumeRolePolicyDocument>%7B%22a%22%3A%20%22~-._%2A%2F%2B%22%7D</AssumeRolePolicyDocument>" in body
    assert b'<Description>{"a": 1}</Description>' in body


@given(st.text())
def test_any_message_makes_well_formed_xml(message: str) -> None:
    _, body = query_xml.encode_fault(errors.AccessDeniedException(message), URI, "r")
    text = ET.fromstring(body).findtext("sts:Error/sts:Message", namespaces=NAMESPACE)
    assert text is not None
    assert len(text) == len(message)
    kept = [(had, has) for had, has in zip(message, text, strict=True) if has != "\N{REPLACEMENT CHARACTER}"]
    assert all(had == has for had, has in kept)


def test_a_message_cannot_add_elements() -> None:
    _, body = query_xml.encode_fault(errors.AccessDeniedException("</Message><Code>Fine</Code>\x00"), URI, "r")
    assert b"<Code>Fine" not in body
    assert body.count(b"<Code>") == 1
