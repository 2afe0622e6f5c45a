# SPDX-License-Identifier: Apache-2.0
"""AssumeRole: who may, what the session is and may do, and what it is given on its way.

Sources: STS API reference, AssumeRole; IAM user guide, "IAM roles", "The confused deputy problem", "Pass session tags
in AWS STS" and "Monitor and control actions taken with assumed roles".
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from roles import ALICE, BOB, allow, assumed, document, new_role, trusting, user, using
from servers import ACCOUNT, Access, Production, Program, client, code_of, refused

pytestmark = pytest.mark.slow

OTHER = "444455556666"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ALICE_ARN, BOB_ARN = user("Alice"), user("Bob", OTHER)


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


@pytest.fixture(scope="module")
def sts(server: Production) -> Any:
    """Alice's; it sends what no client would let pass."""
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    return server.client("sts", ALICE, config=config)


@pytest.fixture(scope="module")
def role(iam: Any) -> str:
    """Alice may assume it, and it may use every key whose policy lets its account decide."""
    return new_role(iam, trusting(ALICE_ARN), allow("kms:*"), MaxSessionDuration=7200)


def not_authorized(who: str, role: str, action: str = "sts:AssumeRole") -> str:
    return f"User: {who} is not authorized to perform: {action} on resource: {role}"


def test_a_session_encrypts_and_says_who_it_is(server: Production, iam: Any, sts: Any, role: str, key: Any) -> None:
    before = datetime.now(UTC).timestamp()
    answer = sts.assume_role(RoleArn=role, RoleSessionName="deploy-1")
    name = role.rpartition("/")[2]
    role_id = iam.get_role(RoleName=name)["Role"]["RoleId"]
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/deploy-1"
    assert answer["AssumedRoleUser"] == {"AssumedRoleId": f"{role_id}:deploy-1", "Arn": arn}
    credentials = answer["Credentials"]
    assert credentials.keys() == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert 3595 <= credentials["Expiration"].timestamp() - before <= 3605
    assert "PackedPolicySize" not in answer

    mine = using(server.url, credentials)
    secret = mine.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert mine.decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"
    found = using(server.url, credentials, "sts").get_caller_identity()
    assert (found["Arn"], found["UserId"], found["Account"]) == (arn, f"{role_id}:deploy-1", ACCOUNT)


def test_root_assumes_no_role(server: Production, role: str) -> None:
    with refused("AccessDenied", "Roles may not be assumed by root accounts.", 403):
        server.client("sts").assume_role(RoleArn=role, RoleSessionName="s1")


@pytest.mark.parametrize("principal", [ROOT, BOB_ARN], ids=["its account", "somebody else"])
def test_who_is_not_let_in_is_refused(iam: Any, sts: Any, principal: str) -> None:
    """To trust the account is to leave it to Alice's own policies, and she has none."""
    role = new_role(iam, trusting(principal))
    with refused("AccessDenied", not_authorized(ALICE_ARN, role), 403):
        sts.assume_role(RoleArn=role, RoleSessionName="s1")


@pytest.mark.parametrize("place", [f"{ACCOUNT}:role/none", f"{OTHER}:role/none", "999999999999:role/none"])
def test_a_role_that_is_not_there_looks_like_one_that_is_forbidden(sts: Any, place: str) -> None:
    role = f"arn:aws:iam::{place}"
    with refused("AccessDenied", not_authorized(ALICE_ARN, role), 403):
        sts.assume_role(RoleArn=role, RoleSessionName="s1")


@pytest.mark.parametrize(
    "arn", ["arn:aws:iam::111122223333:user/Alice", "arn:aws:kms:us-east-1:1:key/role/x", "x" * 20]
)
def test_what_is_no_role(sts: Any, arn: str) -> None:
    with refused("ValidationError", "Request ARN is invalid"):
        sts.assume_role(RoleArn=arn, RoleSessionName="s1")


def test_a_path_is_part_of_a_roles_name(iam: Any, sts: Any) -> None:
    role = new_role(iam, trusting(ALICE_ARN), Path="/ci/")
    assert "/ci/" not in sts.assume_role(RoleArn=role, RoleSessionName="s1")["AssumedRoleUser"]["Arn"]
    assert code_of(sts.assume_role, RoleArn=role.replace("/ci/", "/"), RoleSessionName="s1") == "AccessDenied"


def test_across_accounts_both_sides_must_agree(server: Production, iam: Any) -> None:
    role = new_role(iam, trusting(BOB_ARN))
    sts = server.client("sts", BOB)
    with refused("AccessDenied", not_authorized(BOB_ARN, role), 403):
        sts.assume_role(RoleArn=role, RoleSessionName="s1")


def test_an_external_id_keeps_a_deputy_from_being_confused(iam: Any, sts: Any) -> None:
    role = new_role(iam, trusting(ALICE_ARN, StringEquals={"sts:ExternalId": "customer-17"}))
    assert assumed(sts, role, ExternalId="customer-17")
    for wrong in ({}, {"ExternalId": "customer-18"}, {"ExternalId": "Customer-17"}):
        with refused("AccessDenied", not_authorized(ALICE_ARN, role), 403):
            assumed(sts, role, **wrong)


def test_a_trust_policy_may_ask_for_the_session_name(iam: Any, sts: Any) -> None:
    role = new_role(iam, trusting(ALICE_ARN, StringEquals={"sts:RoleSessionName": "${aws:username}"}))
    assert assumed(sts, role, RoleSessionName="Alice")
    assert code_of(sts.assume_role, RoleArn=role, RoleSessionName="Mallory") == "AccessDenied"


# -- how long


@pytest.mark.parametrize("seconds", [900, 7200])
def test_a_session_lasts_as_long_as_asked_for(sts: Any, role: str, seconds: int) -> None:
    before = datetime.now(UTC).timestamp()
    ends = assumed(sts, role, DurationSeconds=seconds)["Expiration"].timestamp()
    assert seconds - 5 <= ends - before <= seconds + 5


def test_a_session_lasts_no_longer_than_the_role_allows(sts: Any, role: str) -> None:
    with refused("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."):
        assumed(sts, role, DurationSeconds=7201)
    assert code_of(sts.assume_role, RoleArn=role, RoleSessionName="s1", DurationSeconds=899) == "ValidationError"


def test_role_chaining_is_limited_to_an_hour(server: Production, iam: Any, sts: Any, role: str) -> None:
    second = new_role(iam, trusting(role), MaxSessionDuration=43200)
    chained = using(server.url, assumed(sts, role), "sts")
    assert assumed(chained, second, DurationSeconds=3600)
    with refused(
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    ):
        assumed(chained, second, DurationSeconds=3601)


# -- session policies


def test_session_policies_only_limit(server: Production, iam: Any, sts: Any, role: str, key: Any) -> None:
    describe = document(allow("kms:DescribeKey"))
    answer = sts.assume_role(RoleArn=role, RoleSessionName="s1", Policy=describe)
    assert 1 <= answer["PackedPolicySize"] <= 5
    limited = using(server.url, answer["Credentials"])
    limited.describe_key(KeyId=key["KeyId"])
    assert code_of(limited.encrypt, KeyId=key["KeyId"], Plaintext=b"x") == "AccessDeniedException"
    assert code_of(limited.create_key) == "AccessDeniedException"

    managed = iam.create_policy(PolicyName="describe", PolicyDocument=describe)["Policy"]["Arn"]
    limited = using(server.url, assumed(sts, role, PolicyArns=[{"arn": managed}]))
    limited.describe_key(KeyId=key["KeyId"])
    assert code_of(limited.encrypt, KeyId=key["KeyId"], Plaintext=b"x") == "AccessDeniedException"

    poor = new_role(iam, trusting(ALICE_ARN))
    wishful = using(server.url, assumed(sts, poor, Policy=document(allow("kms:*"))))
    assert code_of(wishful.describe_key, KeyId=key["KeyId"]) == "AccessDeniedException"


def test_a_managed_session_policy_that_is_gone_allows_nothing(
    server: Production, iam: Any, sts: Any, role: str, key: Any
) -> None:
    managed = iam.create_policy(PolicyName="passing", PolicyDocument=document(allow("*")))["Policy"]["Arn"]
    limited = using(server.url, assumed(sts, role, PolicyArns=[{"arn": managed}]))
    limited.describe_key(KeyId=key["KeyId"])
    iam.delete_policy(PolicyArn=managed)
    assert code_of(limited.describe_key, KeyId=key["KeyId"]) == "AccessDeniedException"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"Policy": "{}"}, "MalformedPolicyDocument"),
        ({"Policy": document(allow("kms:*", Condition={"Sideways": {"a": "b"}}))}, "MalformedPolicyDocument"),
        ({"Policy": document(allow("kms:*")) + " " * 2048}, "ValidationError"),
        ({"PolicyArns": [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/none"}]}, "ValidationError"),
        ({"PolicyArns": [{"arn": f"arn:aws:iam::{OTHER}:policy/none"}]}, "ValidationError"),
        ({"PolicyArns": [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/none"}] * 11}, "ValidationError"),
        ({"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/alice", "TokenCode": "123456"}, "ValidationError"),
        (
            {"ProvidedContexts": [{"ProviderArn": f"arn:aws:iam::{ACCOUNT}:x1", "ContextAssertion": "abcd"}]},
            "ValidationError",
        ),
    ],
)
def test_what_would_limit_a_session_is_never_ignored(sts: Any, role: str, members: Any, code: str) -> None:
    assert code_of(sts.assume_role, RoleArn=role, RoleSessionName="s1", **members) == code


def test_a_session_policy_is_of_the_roles_account(start_dev: Callable[..., Program], tmp_path: Path) -> None:
    """A policy that its owner could change would be a limit for no longer than they like."""
    seed = tmp_path / "seed.toml"
    seed.write_text(
        f"""
[[user]]
name = "Alice"
access_key_id = "{ALICE.key_id}"
secret_access_key = "{ALICE.secret}"

[[user]]
name = "Bob"
account = "{OTHER}"
access_key_id = "{BOB.key_id}"
secret_access_key = "{BOB.secret}"
policy = '''{document(allow("iam:*"))}'''
"""
    )
    url = start_dev("--seed", str(seed)).url
    foreign = client(url, "iam", BOB).create_policy(PolicyName="p", PolicyDocument=document(allow("*")))
    role = new_role(client(url, "iam", Access("test", "test")), trusting(ALICE_ARN))
    sts = client(url, "sts", ALICE)
    assert assumed(sts, role)
    assert code_of(assumed, sts=sts, role=role, PolicyArns=[{"arn": foreign["Policy"]["Arn"]}]) == "ValidationError"


def test_a_session_must_fit_into_a_header(server: Production, iam: Any, sts: Any, key: Any) -> None:
    role = new_role(iam, trusting(ALICE_ARN, action=["sts:AssumeRole", "sts:TagSession"]), allow("kms:*"))
    tags = [{"Key": f"{number:02}" + "k" * 126, "Value": "v" * 256} for number in range(50)]
    with pytest.raises(sts.exceptions.PackedPolicyTooLargeException, match=r"session tags consumes 27\d%"):
        assumed(sts, role, Tags=tags)
    policy = document(allow("kms:*", Sid="S" * 1900))
    answer = sts.assume_role(RoleArn=role, RoleSessionName="s" * 64, Tags=tags[:13], Policy=policy)
    assert 90 <= answer["PackedPolicySize"] <= 100
    using(server.url, answer["Credentials"]).describe_key(KeyId=key["KeyId"])
    with pytest.raises(sts.exceptions.PackedPolicyTooLargeException, match="use smaller policy"):
        assumed(sts, role, Tags=tags[:14], Policy=policy)


# -- tags


TAGGING = ["sts:AssumeRole", "sts:TagSession"]


def test_session_tags_are_principal_tags(server: Production, iam: Any, sts: Any, kms: Any) -> None:
    """They come before a role's of the same key, however capitalised."""
    role = new_role(
        iam,
        trusting(ALICE_ARN, action=TAGGING),
        allow("kms:Encrypt", Condition={"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}),
        Tags=[{"Key": "Team", "Value": "red"}],
    )
    keys = {
        team: kms.create_key(Tags=[{"TagKey": "team", "TagValue": team}])["KeyMetadata"]["KeyId"]
        for team in ("red", "blue")
    }
    red = using(server.url, assumed(sts, role))
    red.encrypt(KeyId=keys["red"], Plaintext=b"x")
    assert code_of(red.encrypt, KeyId=keys["blue"], Plaintext=b"x") == "AccessDeniedException"
    blue = using(server.url, assumed(sts, role, Tags=[{"Key": "team", "Value": "blue"}]))
    blue.encrypt(KeyId=keys["blue"], Plaintext=b"x")
    assert code_of(blue.encrypt, KeyId=keys["red"], Plaintext=b"x") == "AccessDeniedException"


def test_to_tag_a_session_is_a_permission_of_its_own(iam: Any, sts: Any, role: str) -> None:
    with refused("AccessDenied", not_authorized(ALICE_ARN, role, "sts:TagSession"), 403):
        assumed(sts, role, Tags=[{"Key": "team", "Value": "blue"}])
    strict = new_role(
        iam,
        trusting(
            ALICE_ARN,
            action=TAGGING,
            StringEquals={"aws:RequestTag/team": ["red", "blue"]},
            **{"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"], "sts:TransitiveTagKeys": ["team"]}},
        ),
    )
    assert assumed(sts, strict, Tags=[{"Key": "team", "Value": "blue"}], TransitiveTagKeys=["team"])
    for tags, transitive in (
        ({}, []),
        ({"team": "green"}, []),
        ({"team": "red", "other": "x"}, []),
        ({"team": "red", "cost": "1"}, ["cost"]),
    ):
        given = [{"Key": name, "Value": value} for name, value in tags.items()]
        assert code_of(assumed, sts=sts, role=strict, Tags=given, TransitiveTagKeys=transitive) == "AccessDenied"


@pytest.mark.parametrize(
    ("tags", "transitive"),
    [
        (["team", "TEAM"], []),
        (["aws:team"], []),
        (["team"], ["cost"]),
    ],
)
def test_tags_that_are_none(sts: Any, role: str, tags: list[str], transitive: list[str]) -> None:
    given = [{"Key": name, "Value": "v"} for name in tags]
    code = code_of(assumed, sts=sts, role=role, Tags=given, TransitiveTagKeys=transitive)
    assert code == "InvalidParameterValue"


def test_transitive_tags_go_along_a_chain_and_cannot_be_changed(server: Production, iam: Any, sts: Any) -> None:
    """The guide's example: star is transitive, heart is not."""
    first = new_role(iam, trusting(ALICE_ARN, action=TAGGING))
    second = new_role(iam, trusting(first, action=TAGGING))
    third = new_role(
        iam,
        trusting(second, action=TAGGING),
        allow("kms:ListKeys", Condition={"StringEquals": {"aws:PrincipalTag/star": "1"}}),
        allow("kms:ListAliases", Condition={"Null": {"aws:PrincipalTag/heart": "false"}}),
        Tags=[{"Key": "star", "Value": "3"}],
    )
    closed = new_role(iam, trusting(first))
    tags = [{"Key": "star", "Value": "1"}, {"Key": "heart", "Value": "1"}]
    one = using(server.url, assumed(sts, first, Tags=tags, TransitiveTagKeys=["Star"]), "sts")
    # What is inherited is passed: that needs the permission too.
    assert code_of(assumed, sts=one, role=closed) == "AccessDenied"
    two = using(server.url, assumed(one, second), "sts")
    with refused(
        "InvalidParameterValue",
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the"
        " calling session.",
    ):
        assumed(two, third, Tags=[{"Key": "STAR", "Value": "2"}])
    three = using(server.url, assumed(two, third))
    three.list_keys()
    assert code_of(three.list_aliases) == "AccessDeniedException"


# -- the source identity


def test_a_source_identity_stays_and_cannot_be_changed(server: Production, iam: Any, sts: Any, role: str) -> None:
    both = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    with refused("AccessDenied", not_authorized(ALICE_ARN, role, "sts:SetSourceIdentity"), 403):
        assumed(sts, role, SourceIdentity="carol")
    first = new_role(iam, trusting(ALICE_ARN, action=both, StringEquals={"sts:SourceIdentity": "carol"}))
    second = new_role(
        iam,
        trusting(first, action=both),
        allow("kms:ListKeys", Condition={"StringEquals": {"aws:SourceIdentity": "carol"}}),
    )
    assert code_of(assumed, sts=sts, role=first, SourceIdentity="dave") == "AccessDenied"
    answer = sts.assume_role(RoleArn=first, RoleSessionName="s1", SourceIdentity="carol")
    assert answer["SourceIdentity"] == "carol"
    chained = using(server.url, answer["Credentials"], "sts")
    with refused("ValidationError", "The source identity is already set for this assume role session"):
        assumed(chained, second, SourceIdentity="dave")
    answer = chained.assume_role(RoleArn=second, RoleSessionName="s2")
    assert answer["SourceIdentity"] == "carol"
    using(server.url, answer["Credentials"]).list_keys()


# -- what is written down


def test_the_record_tells_what_was_asked_for_and_no_secret(server: Production, sts: Any, role: str) -> None:
    credentials = assumed(sts, role, RoleSessionName="recorded", Policy=document(allow("kms:ListKeys")))
    using(server.url, credentials).list_keys()
    text = "".join(path.read_text() for path in (server.data / "audit").glob("*.jsonl"))
    records = [record for line in text.splitlines() if "recorded" in line and (record := json.loads(line))]
    assumption, use = (record.get("event", record) for record in records)
    assert assumption["eventSource"] == "sts.amazonaws.com"
    assert assumption["eventName"] == "AssumeRole"
    assert assumption["userIdentity"]["type"] == "IAMUser"
    assert assumption["requestParameters"]["roleArn"] == role
    assert assumption["readOnly"] is True
    assert use["userIdentity"]["type"] == "AssumedRole"
    assert use["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == role
    for secret in (credentials["SecretAccessKey"], credentials["SessionToken"]):
        assert secret not in text
