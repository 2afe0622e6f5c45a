# SPDX-License-Identifier: Apache-2.0
"""What each operation of IAM asks to be allowed, held to the Service Authorization Reference: action, resource and
condition keys, for what is there and what is not."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from iam_requests import ACCOUNT, ANN, BOUND, POLICY, REQUESTS, TAGS, populate
from inprocess import InProcess

from keyquorum import iam_api
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.keyring import new_unique_id
from keyquorum.model import ROOT, USER, Caller, Principal, Session
from keyquorum.ops import registry
from keyquorum.ops.operation import Call, Need

FAMILIES = ("aws:resourcetag/team", "iam:resourcetag/team")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(Settings(data=tmp_path_factory.mktemp("data")))
    ann = Principal(new_unique_id(USER), ACCOUNT, USER, "ann", created_at=1.0)
    with service.database.write() as txn:
        service.store.identities.insert(txn, ann)
        key = service.keyring.new_access_key(ANN.key_id, ann.principal_id, ANN.secret, 1.0)
        service.store.access_keys.insert(txn, key, ann)
    inside = InProcess(service)
    populate(inside.client("iam", **inside.root(ACCOUNT)))
    yield service
    service.close()


def needs(
    service: Service, operation: str, arguments: dict[str, Any], caller: Caller | None = None
) -> tuple[Need, ...]:
    """What is asked outside of a transaction; and inside of one it is the same."""
    request = msgspec.convert(arguments, iam_api.OPERATIONS[operation].request)
    who = caller or Caller(ACCOUNT, "us-east-1", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT)
    call = Call(service.pipeline._services, who, 1.0, "id", may_wait=True)
    found = registry.IAM[operation].needs(call, request)
    with service.database.write() as call.txn:
        assert registry.IAM[operation].needs(call, request) == found
    return found


@pytest.mark.parametrize("operation", REQUESTS)
def test_the_permission_the_resource_and_the_condition_keys(service: Service, operation: str) -> None:
    asked = REQUESTS[operation]
    (need,) = needs(service, operation, asked.arguments)
    assert (need.permission, need.resource, need.other_arns) == (f"iam:{operation}", asked.resource, ())
    context = dict(need.context)
    assert context.pop("aws:resourceaccount") == (ACCOUNT,)
    tagged = {context.pop(key) for key in FAMILIES if key in context}
    # Groups have no tags, and what is to be made, or all of a kind, has none yet.
    has_tags = any(kind in asked.resource for kind in ("staff/ann", "staff/deputy", "Reading", "idp.example.com/id"))
    assert tagged == ({("blue",)} if has_tags else set())
    assert context.keys() == asked.keys
    assert context.get("iam:permissionsboundary") in (None, (BOUND,))
    assert context.get("iam:policyarn") in (None, (POLICY,))


@pytest.mark.parametrize("operation", ["CreateUser", "CreateRole", "CreatePolicy", "CreateOpenIDConnectProvider"])
def test_what_is_made_with_tags_is_tagged_too(service: Service, operation: str) -> None:
    asked = REQUESTS[operation]
    making, tagging = needs(service, operation, {**asked.arguments, "Tags": TAGS})
    assert (making,) == needs(service, operation, asked.arguments)
    permission = f"iam:{operation.replace('Create', 'Tag')}"
    assert (tagging.permission, tagging.resource, tagging.shown) == (permission, making.resource, making.shown)
    assert dict(tagging.context) == {"aws:resourceaccount": (ACCOUNT,)}


@pytest.mark.parametrize("operation", REQUESTS)
def test_what_reads_the_database_runs_where_waiting_is_allowed(operation: str) -> None:
    found = registry.IAM[operation]
    assert found.changes or found.waits


def test_a_policy_of_aws_is_not_the_callers(service: Service) -> None:
    (need,) = needs(service, "GetPolicy", {"PolicyArn": "arn:aws:iam::aws:policy/IAMFullAccess"})
    assert dict(need.context) == {"aws:resourceaccount": ("aws",)}


def caller(kind: str, name: str, session: Session | None = None) -> Caller:
    return Caller(ACCOUNT, "us-east-1", f"arn:aws:iam::{ACCOUNT}:{name}", "AIDA", kind, "AKIA", "AIDA", None, session)


@pytest.mark.parametrize(
    ("who", "answers"),
    [
        (caller("AssumedRole", "x", Session("s", 0.0, 9.0)), {"GetUser": False, "ListAccessKeys": False}),
        # "If a temporary access key is used, then UserName is required" (IAM API reference, ListAccessKeys).
        (caller(USER, "user/x", Session("s", 0.0, 9.0)), {"GetUser": True, "ListAccessKeys": False}),
        (caller(USER, "user/x"), {"GetUser": True, "ListAccessKeys": True, "CreateAccessKey": True}),
    ],
    ids=["a role", "a user's session", "a user"],
)
def test_who_may_leave_the_user_name_out(service: Service, who: Caller, answers: dict[str, bool]) -> None:
    for operation, answered in answers.items():
        if answered:
            (need,) = needs(service, operation, {}, who)
            assert need.resource == f"arn:aws:iam::{ACCOUNT}:user/x"
        else:
            with pytest.raises(Exception, match="Must specify userName when calling with non-User credentials"):
                needs(service, operation, {}, who)
