# SPDX-License-Identifier: Apache-2.0
"""What the request path asks of the evaluator: by whom, about what, and with which condition keys; and what it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from matrix import outcome
from people import (
    ABLE,
    ADMIN,
    CLOSED,
    EVERYTHING,
    HELPER,
    NOBODY,
    OPEN,
    VISITOR,
    Inside,
    Person,
    allow,
    closed,
    document,
    inside,
    naming,
)
from servers import ACCOUNT, REGION, code_of

from keyquorum.access import Access
from keyquorum.asked import find_subject, key_policy
from keyquorum.authz.compiled import Compiled
from keyquorum.authz.policy import parse_identity_policy
from keyquorum.errors import AccessDeniedException, IntegrityError
from keyquorum.model import SERVICE, Caller, HttpRequest, KeyRecord
from keyquorum.ops import registry
from keyquorum.ops.operation import Call, KeyUse, Operation
from keyquorum.store.store import CachedView

DENIED = "AccessDeniedException"
SYSTEM = Caller(ACCOUNT, REGION, "keyquorum", "keyquorum", SERVICE)
FROM_AFAR = HttpRequest(b"POST", b"/", [], b"", "192.0.2.7")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as made:
        yield made


@pytest.fixture
def view(world: Inside) -> CachedView:
    return CachedView(world.service.store, may_block=True)


def access_of(world: Inside, view: CachedView, caller: Caller, http: HttpRequest | None = None) -> Access:
    call = Call(world.service.pipeline._services, caller, 0.0, "id", http, may_wait=True)
    return Access(call, view, None)


def caller_of(world: Inside, person: Person) -> Caller:
    """As it is after authentication."""
    with world.service.database.read() as connection:
        unique_id = world.service.store.identities.unique_id(connection, person.arn)
    assert unique_id is not None
    return Caller(person.account, REGION, person.arn, unique_id, "IAMUser", person.access.key_id, unique_id)


def record_of(world: Inside, view: CachedView, policy: str = CLOSED) -> KeyRecord:
    record = view.key(world.key(policy).rpartition("/")[2], REGION)
    assert record is not None
    return record


# -- who asks


def test_what_the_system_does_by_itself_needs_no_policy_and_nobody_can_send_it(world: Inside, view: CachedView) -> None:
    record = record_of(world, view)
    use = KeyUse("kms:Decrypt", record.key.key_id)
    assert access_of(world, view, SYSTEM).key(use, record).key == record.key
    with pytest.raises(AccessDeniedException):
        access_of(world, view, SYSTEM, FROM_AFAR).key(use, record)
    with pytest.raises(AccessDeniedException):
        access_of(world, view, caller_of(world, NOBODY)).key(use, record)


def test_a_caller_whose_identity_is_gone_is_refused_before_anything_is_looked_at(
    world: Inside, view: CachedView
) -> None:
    gone = msgspec.structs.replace(caller_of(world, ABLE), identity_id="AIDAGONE", principal_id="AIDAGONE")
    with pytest.raises(AccessDeniedException):
        find_subject(gone, view)


def test_an_operation_that_asks_for_nothing_is_refused_to_everybody(world: Inside, view: CachedView) -> None:
    """A forgotten ``keys`` opens nothing."""
    forgetful = Operation(name="Forgetful", run=lambda _call, _request, _keys: None)
    for person in (ABLE, NOBODY):
        with pytest.raises(AccessDeniedException):
            access_of(world, view, caller_of(world, person)).decide(forgetful, [])
    free = msgspec.structs.replace(forgetful, open=True)
    assert access_of(world, view, caller_of(world, NOBODY)).decide(free, []) == ()


def test_only_what_aws_lets_everyone_do_is_open() -> None:
    """STS API reference, GetCallerIdentity, GetSessionToken and AssumeRoleWithWebIdentity: "No permissions are
    required". Who may assume a role, its trust policy says. A session of the console may do what its principal may."""
    found = {name for operations in registry.BY_SERVICE.values() for name, op in operations.items() if op.open}
    assert not found & set(registry.KMS)
    sts = {"AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"}
    assert found <= sts | {"ConsoleLogin", "ConsoleSession", "ConsoleLogout"}


# -- the key's policy


def test_a_key_without_a_policy_gives_nobody_a_right(world: Inside, view: CachedView) -> None:
    bare = msgspec.structs.replace(record_of(world, view), policy=None, ready={})
    with pytest.raises(IntegrityError):
        access_of(world, view, caller_of(world, ADMIN)).key(KeyUse("kms:Encrypt", bare.key.key_id), bare)


def test_a_compiled_policy_goes_with_the_record_that_it_was_made_from(world: Inside, view: CachedView) -> None:
    record = record_of(world, view)
    assert key_policy(record) is key_policy(record)
    world.by(ADMIN).put_key_policy(KeyId=record.key.key_id, Policy=OPEN)
    again = view.key(record.key.key_id, REGION)
    assert again is not None
    assert again is not record
    assert key_policy(again) is not key_policy(record)


def test_what_is_remembered_of_a_key_is_of_one_subject_and_bounded(world: Inside, view: CachedView) -> None:
    """Under one name there may be another user tomorrow, and of callers there is no end."""
    record = record_of(world, view)
    use = KeyUse("kms:DescribeKey", record.key.key_id)
    admin = caller_of(world, ADMIN)
    access_of(world, view, admin).key(use, record)
    (known,) = record.ready["standings"].values()
    access_of(world, view, admin).key(use, record)
    assert record.ready["standings"] == {(use.permission, admin.principal_id, admin.arn): known}
    # The same names, and other policies: what was found before says nothing.
    access = access_of(world, view, admin)
    denied = Compiled(parse_identity_policy(document(allow("kms:*", effect="Deny"))))
    access.subject = msgspec.structs.replace(access.subject, policies=(denied,))  # type: ignore[misc] # a change
    with pytest.raises(AccessDeniedException):
        access.key(use, record)
    for i in range(2000):
        access.subject = msgspec.structs.replace(known.subject, arn=f"{admin.arn}{i}")  # type: ignore[misc] # another's
        access.key(use, record)
    assert len(record.ready["standings"]) <= 512


# -- what a refusal tells, and what is asked first


def test_of_two_refusals_the_keys_comes_first(world: Inside) -> None:
    key = world.key(CLOSED)
    told = outcome(world.by(NOBODY), "CreateAlias", AliasName="alias/new", TargetKeyId=key)
    assert told == (
        DENIED,
        f"User: {NOBODY.arn} is not authorized to perform: kms:CreateAlias on resource: {key} because no "
        "resource-based policy allows the kms:CreateAlias action",
    )
    alias = f"{key.rpartition(':')[0]}:alias/new"
    world.by(ADMIN).put_key_policy(KeyId=key, Policy=naming(NOBODY))
    told = outcome(world.by(NOBODY), "CreateAlias", AliasName="alias/new", TargetKeyId=key)
    assert told == (
        DENIED,
        f"User: {NOBODY.arn} is not authorized to perform: kms:CreateAlias on resource: {alias} because no "
        "identity-based policy allows the kms:CreateAlias action",
    )


@pytest.mark.parametrize(
    ("policy", "own", "because"),
    [
        (naming(ABLE, effect="Deny"), EVERYTHING, "with an explicit deny in a resource-based policy"),
        (OPEN, allow("kms:*", effect="Deny"), "with an explicit deny in an identity-based policy"),
        (OPEN, allow("kms:Decrypt"), "because no identity-based policy allows the kms:Encrypt action"),
        (CLOSED, EVERYTHING, "because no resource-based policy allows the kms:Encrypt action"),
    ],
)
def test_a_refusal_says_why(world: Inside, policy: str, own: dict[str, Any], because: str) -> None:
    key, iam = world.key(policy), world.root("iam")
    (name,) = iam.list_user_policies(UserName=ABLE.name)["PolicyNames"]
    iam.put_user_policy(UserName=ABLE.name, PolicyName=name, PolicyDocument=document(own))
    told = outcome(world.by(ABLE), "Encrypt", KeyId=key, Plaintext=b"x")
    assert told == (DENIED, f"User: {ABLE.arn} is not authorized to perform: kms:Encrypt on resource: {key} {because}")


def test_authorization_comes_before_the_keys_state_and_usage(world: Inside) -> None:
    """Who may not use a key does not learn what it is."""
    key = world.key(CLOSED, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    world.by(ADMIN).disable_key(KeyId=key)
    for person in (NOBODY, VISITOR):
        assert code_of(world.by(person).encrypt, KeyId=key, Plaintext=b"x") == DENIED
    assert code_of(world.by(ADMIN).encrypt, KeyId=key, Plaintext=b"x") == "InvalidKeyUsageException"


# -- condition keys of a request


@pytest.mark.parametrize(
    ("condition", "peer", "secure", "allowed"),
    [
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, "203.0.113.77", True, True),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, "203.0.114.1", True, False),
        ({"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}, "2001:db8::1", True, True),
        ({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, "203.0.113.77", True, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, "203.0.113.77", True, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, "203.0.113.77", False, False),
        ({"StringLike": {"aws:UserAgent": "Boto3/*"}}, "203.0.113.77", True, True),
        ({"StringLike": {"aws:UserAgent": "curl/*"}}, "203.0.113.77", True, False),
        ({"StringEquals": {"aws:username": NOBODY.name}}, "203.0.113.77", True, True),
        ({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}, "203.0.113.77", True, False),
        ({"ArnEquals": {"aws:PrincipalArn": NOBODY.arn}}, "203.0.113.77", True, True),
        ({"StringEquals": {"aws:PrincipalAccount": ACCOUNT, "kms:CallerAccount": ACCOUNT}}, "203.0.113.77", True, True),
        ({"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}, "203.0.113.77", True, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": "false"}}, "203.0.113.77", True, False),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, "203.0.113.77", True, False),
    ],
)
@pytest.mark.slow
def test_what_is_known_of_a_request(
    world: Inside, condition: dict[str, Any], peer: str, secure: bool, allowed: bool
) -> None:
    key = world.key(naming(NOBODY, Condition=condition))
    world.inside.circumstances.peer, world.inside.circumstances.secure = peer, secure
    told = code_of(world.by(NOBODY).encrypt, KeyId=key, Plaintext=b"x")
    assert told == ("" if allowed else DENIED)


def test_no_header_says_who_or_where_somebody_is(world: Inside) -> None:
    """A proxy that is not named as trusted is whoever sent the request."""
    key = world.key(naming(NOBODY, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))
    client = world.client("kms", NOBODY.access)

    def pretend(params: dict[str, Any], **_event: Any) -> None:
        params["headers"].update({"X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1"})

    client.meta.events.register("before-call.kms", pretend)
    assert code_of(client.encrypt, KeyId=key, Plaintext=b"x") == DENIED


def test_a_re_encryption_knows_whether_its_keys_are_one(world: Inside) -> None:
    condition = {"Bool": {"kms:ReEncryptOnSameKey": "true"}}
    one, two = (world.key(naming(NOBODY, Condition=condition)) for _ in range(2))
    blob = world.by(ADMIN).encrypt(KeyId=one, Plaintext=b"x")["CiphertextBlob"]
    re_encrypt = world.by(NOBODY).re_encrypt
    assert code_of(re_encrypt, CiphertextBlob=blob, DestinationKeyId=one) == ""
    assert code_of(re_encrypt, CiphertextBlob=blob, DestinationKeyId=two) == DENIED


def test_a_key_that_is_made_with_tags_needs_the_permission_to_tag(world: Inside) -> None:
    """API reference, CreateKey: "To use the Tags parameter you need kms:TagResource permission in an IAM policy"."""
    tags = [{"TagKey": "team", "TagValue": "blue"}]
    members = {"Policy": closed(allow("kms:*", Principal={"AWS": HELPER.arn}))}
    assert code_of(world.by(HELPER).create_key, **members) == ""
    assert code_of(world.by(HELPER).create_key, **members, Tags=tags) == DENIED
    assert code_of(world.by(ABLE).create_key, Tags=tags) == ""


def test_a_key_may_be_made_only_as_a_policy_says(world: Inside) -> None:
    """Conditions see the key that is asked for, before it is there."""
    blue = {"aws:RequestTag/team": "blue"}
    making = {"StringEquals": {"kms:KeySpec": "HMAC_256", **blue}, "Bool": {"kms:MultiRegion": "false"}}
    policy = document(
        allow("kms:CreateKey", Condition=making), allow("kms:TagResource", Condition={"StringEquals": blue})
    )
    world.root("iam").put_user_policy(UserName=NOBODY.name, PolicyName="p", PolicyDocument=policy)
    good = {
        "KeySpec": "HMAC_256",
        "KeyUsage": "GENERATE_VERIFY_MAC",
        "Tags": [{"TagKey": "team", "TagValue": "blue"}],
        "Policy": naming(NOBODY),
    }
    create = world.by(NOBODY).create_key
    for change in ({"KeySpec": "HMAC_512"}, {"MultiRegion": True}, {"Tags": [{"TagKey": "team", "TagValue": "red"}]}):
        assert code_of(create, **{**good, **change}) == DENIED
    assert code_of(create, **{name: value for name, value in good.items() if name != "Tags"}) == DENIED
    assert code_of(create, **good) == ""
