# SPDX-License-Identifier: Apache-2.0
"""The client of IAM: its forms are botocore's, its signatures verify, and its answers are what the AWS CLI prints."""

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import botocore.session
import pytest
from botocore.serialize import create_serializer
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec.structs import fields

from keyquorum import iam_api
from keyquorum.admin import client
from keyquorum.admin.client import ClientError, Refused, Remote
from keyquorum.api import Constraint, Shape
from keyquorum.authn import sigv4, sigv4a
from keyquorum.errors import NoSuchEntityException
from keyquorum.model import HttpRequest
from keyquorum.wire import query, query_client, query_xml
from keyquorum.wire.constraints import MEMBERS

MODEL = botocore.session.Session().get_service_model("iam")
SERIALIZER = create_serializer("query", False)
OURS = {"PublicKey", "JWKS"}
"""Members that AWS does not have, and the access key ID that goes with the first."""
NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


def sample(constraint: Constraint) -> Any:
    if constraint.nested is not None:
        return filled(constraint.nested)
    if constraint.element is not None:
        return [sample(constraint.element), sample(constraint.element)]
    return {"integer": 7, "boolean": False}.get(constraint.kind, "a b&c=d/é")


def filled(structure: type[Shape]) -> Shape:
    names = {field.name: field.encode_name for field in fields(structure)}
    members = [m for m in MEMBERS[structure] if names[m.attribute] not in OURS]
    if structure is iam_api.CreateAccessKeyRequest:
        members = [m for m in members if m.attribute != "access_key_id"]
    return structure(**{member.attribute: sample(member.constraint) for member in members})


def plain(value: Any) -> Any:
    if isinstance(value, Shape):
        given = ((field.encode_name, getattr(value, field.name)) for field in fields(value))
        return {name: plain(part) for name, part in given if part is not None}
    return [plain(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", iam_api.OPERATIONS)
def test_the_form_is_botocores(name: str) -> None:
    request = filled(iam_api.OPERATIONS[name].request)
    theirs = SERIALIZER.serialize_to_request(plain(request), MODEL.operation_model(name))["body"]
    assert sorted(parse_qsl(query_client.encode(name, request).decode())) == sorted(
        (member, str(value)) for member, value in theirs.items()
    )


def test_an_empty_list_and_our_own_members_arrive() -> None:
    request = iam_api.CreateAccessKeyRequest(user_name="a", access_key_id="A" * 16, public_key="AAAA")
    assert query.decode(type(request), query_client.encode("CreateAccessKey", request)) == request
    empty = iam_api.CreateUserRequest(user_name="a", tags=[])
    assert query.decode(type(empty), query_client.encode("CreateUser", empty)) == empty


@pytest.mark.parametrize("token", [None, "a/token+="])
def test_the_signature_verifies(token: str | None) -> None:
    remote = Remote("http://127.0.0.1:8085", "eu-west-1", "AKIAIOSFODNN7EXAMPLE", "secret", token)
    now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    headers = remote.headers("127.0.0.1:8085", b"Action=ListUsers", now)
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    http = HttpRequest(b"POST", b"/", listed, b"Action=ListUsers", "127.0.0.1")
    signed = sigv4.parse(http, b"iam", now.timestamp())
    assert signed.session_token == (None if token is None else token.encode())
    sigv4.verify(http, signed, sigv4.derive_key("secret", signed.date, "eu-west-1", "iam"))


def test_a_key_of_ones_own_is_what_the_server_will_verify_with() -> None:
    access_key_id, secret, public = client.own_access_key()
    assert load_der_public_key(base64.b64decode(public)) == sigv4a.derive_public_key(access_key_id, secret)


def answering(status: int, body: bytes) -> client.Send:
    return lambda _body: (status, body)


def test_an_answer_is_what_the_aws_cli_prints() -> None:
    role = iam_api.Role(
        role_name="r",
        create_date=1_700_000_000.0,
        assume_role_policy_document='{"Version": "2012-10-17", "Statement": []}',
        max_session_duration=3600,
        tags=[iam_api.Tag(key="a", value="")],
        role_last_used=iam_api.RoleLastUsed(),
    )
    body = query_xml.encode("GetRole", iam_api.GetRoleResponse(role=role), NAMESPACE, "id")
    assert client.call("GetRole", iam_api.GetRoleRequest(role_name="r"), answering(200, body)) == {
        "Role": {
            "RoleName": "r",
            "CreateDate": "2023-11-14T22:13:20+00:00",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
            "MaxSessionDuration": 3600,
            "Tags": [{"Key": "a", "Value": ""}],
            "RoleLastUsed": {},
        }
    }


def test_an_operation_without_a_result() -> None:
    body = query_xml.encode("DeleteUser", None, NAMESPACE, "id")
    assert client.call("DeleteUser", iam_api.DeleteUserRequest(user_name="a"), answering(200, body)) == {}


def test_a_fault() -> None:
    status, body = query_xml.encode_fault(NoSuchEntityException("Not <here>."), NAMESPACE, "id")
    with pytest.raises(Refused) as caught:
        client.call("GetUser", iam_api.GetUserRequest(), answering(status, body))
    expected = "An error occurred (NoSuchEntity) when calling the GetUser operation: Not <here>."
    assert (caught.value.code, str(caught.value)) == ("NoSuchEntity", expected)


def test_what_is_no_answer() -> None:
    with pytest.raises(ClientError, match="does not answer as IAM does"):
        client.call("GetUser", iam_api.GetUserRequest(), answering(200, b"<html>"))


def test_all_pages_make_one_list() -> None:
    def send(body: bytes) -> tuple[int, bytes]:
        marker = dict(parse_qsl(body.decode())).get("Marker")
        page = iam_api.ListUsersResponse(
            users=[iam_api.User(user_name=f"u{marker}")],
            is_truncated=marker != "2",
            marker={None: "1", "1": "2"}.get(marker),
        )
        return 200, query_xml.encode("ListUsers", page, NAMESPACE, "id")

    everything = client.every_page("ListUsers", iam_api.ListUsersRequest(), send)
    assert everything == {"Users": [{"UserName": "uNone"}, {"UserName": "u1"}, {"UserName": "u2"}]}
    one = client.every_page("ListUsers", iam_api.ListUsersRequest(max_items=1), send)
    assert one == {"Users": [{"UserName": "uNone"}], "IsTruncated": True, "Marker": "1"}


@pytest.mark.parametrize(
    ("url", "said"),
    [("ftp://x", "is not the URL"), ("http://", "is not the URL"), ("http://127.0.0.1:1", "cannot be reached")],
)
def test_an_endpoint_that_is_none(url: str, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        Remote(url, "us-east-1", "AKIA", "s")(b"")


ENVIRONMENT = {
    "AWS_ENDPOINT_URL_KMS": "http://kms",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
}


def test_the_environment_names_endpoint_and_credentials() -> None:
    remote = client.from_environment(ENVIRONMENT)
    assert remote == Remote("http://kms", "eu-west-1", "AKIA", "hunter2", None)
    assert "hunter2" not in repr(remote)
    more = {"AWS_ENDPOINT_URL": "http://all", "AWS_SESSION_TOKEN": "t", "AWS_REGION": "us-west-2"}
    assert client.from_environment(ENVIRONMENT | more) == Remote("http://all", "us-west-2", "AKIA", "hunter2", "t")
    assert client.from_environment(ENVIRONMENT | more | {"AWS_ENDPOINT_URL_IAM": "http://iam"}).url == "http://iam"


@pytest.mark.parametrize("missing", ENVIRONMENT)
def test_what_the_environment_lacks_is_said(missing: str) -> None:
    with pytest.raises(ClientError, match="is not set; `keyquorum env` prints"):
        client.from_environment({name: value for name, value in ENVIRONMENT.items() if name != missing})
