# SPDX-License-Identifier: Apache-2.0
"""GetSessionToken, and how sessions end: by their time, with their user or role, by a policy, and by never having been.

Sources: STS API reference, GetSessionToken and GetCallerIdentity; IAM user guide, "Revoke IAM role temporary security
credentials".
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from roles import ALICE, allow, assumed, document, new_role, new_user, pass_time, trusting, user, using
from servers import ACCOUNT, Access, Production, Program, client, code_of, refused

pytestmark = pytest.mark.slow

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
INVALID = "The security token included in the request is invalid."


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


@pytest.fixture(scope="module")
def sts(server: Production) -> Any:
    return server.client("sts", ALICE)


@pytest.fixture(scope="module")
def session(sts: Any) -> Any:
    """Alice's credentials of GetSessionToken."""
    return sts.get_session_token()["Credentials"]


def lasts(credentials: Any) -> float:
    return float(credentials["Expiration"].timestamp() - datetime.now(UTC).timestamp())


def test_a_users_session_is_the_user(server: Production, iam: Any, key: Any) -> None:
    dana = new_user(iam, "Dana", allow("kms:DescribeKey"))
    session = server.client("sts", dana).get_session_token()["Credentials"]
    found = using(server.url, session, "sts").get_caller_identity()
    assert (found["Arn"], found["UserId"]) == (user("Dana"), iam.get_user(UserName="Dana")["User"]["UserId"])
    mine = using(server.url, session)
    mine.describe_key(KeyId=key["KeyId"])
    assert code_of(mine.encrypt, KeyId=key["KeyId"], Plaintext=b"x") == "AccessDeniedException"
    assert 43_190 <= lasts(session) <= 43_200


def test_a_roots_session_is_the_root_for_an_hour_at_most(server: Production) -> None:
    """It may not ask for more; AWS then gives it an hour."""
    sts = server.client("sts")
    for seconds in (900, 3600, 129_600):
        credentials = sts.get_session_token(DurationSeconds=seconds)["Credentials"]
        assert min(seconds, 3600) - 10 <= lasts(credentials) <= min(seconds, 3600)
    assert using(server.url, credentials, "sts").get_caller_identity()["Arn"] == ROOT
    using(server.url, credentials).create_key()


def test_a_session_gets_no_session(server: Production, iam: Any, sts: Any, session: Any) -> None:
    role = new_role(iam, trusting(user("Alice")))
    for credentials in (session, assumed(sts, role)):
        with refused("AccessDenied", "Cannot call GetSessionToken with session credentials", 403):
            using(server.url, credentials, "sts").get_session_token()


def test_a_users_session_may_assume_a_role_for_an_hour_and_not_ask_iam(
    server: Production, iam: Any, session: Any
) -> None:
    role = new_role(iam, trusting(user("Alice")), MaxSessionDuration=7200)
    mine = using(server.url, session, "sts")
    assert assumed(mine, role, DurationSeconds=3600)
    assert code_of(assumed, sts=mine, role=role, DurationSeconds=3601) == "ValidationError"
    with refused("InvalidClientTokenId", INVALID, 403):
        using(server.url, session, "iam").get_user(UserName="Alice")


def test_no_second_factor_is_known(sts: Any) -> None:
    with refused("ValidationError", "SerialNumber is not supported."):
        sts.get_session_token(SerialNumber=f"arn:aws:iam::{ACCOUNT}:mfa/alice", TokenCode="123456")


# -- how a session ends


def test_sessions_end_by_their_time(start_dev: Callable[..., Program]) -> None:
    server = start_dev()
    stranger = Access("test", "test")
    credentials = client(server.url, "sts", stranger).get_session_token(DurationSeconds=900)["Credentials"]
    mine = using(server.url, credentials)
    mine.create_key()
    pass_time(server, 890)
    mine.create_key()
    pass_time(server, 20)
    with refused("ExpiredTokenException", "The security token included in the request is expired"):
        mine.create_key()


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made again"])
def test_a_session_dies_with_its_role(server: Production, iam: Any, sts: Any, again: bool) -> None:
    trust, everything = trusting(user("Alice")), allow("*")
    role = new_role(iam, trust, everything)
    name = role.rpartition("/")[2]
    credentials = assumed(sts, role)
    mine = using(server.url, credentials)
    mine.list_keys()
    iam.delete_role_policy(RoleName=name, PolicyName="p")
    iam.delete_role(RoleName=name)
    if again:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(everything))
    with refused("UnrecognizedClientException", INVALID):
        mine.list_keys()
    with refused("InvalidClientTokenId", INVALID, 403):
        using(server.url, credentials, "sts").get_caller_identity()
    if again:
        using(server.url, assumed(sts, role)).list_keys()


def test_a_session_dies_with_its_user(server: Production, iam: Any) -> None:
    carol = new_user(iam, "Carol")
    mine = using(server.url, server.client("sts", carol).get_session_token()["Credentials"], "sts")
    mine.get_caller_identity()
    iam.delete_access_key(UserName="Carol", AccessKeyId=carol.key_id)
    mine.get_caller_identity()  # the session is the user's, not the access key's
    iam.delete_user(UserName="Carol")
    with refused("InvalidClientTokenId", INVALID, 403):
        mine.get_caller_identity()


def test_a_change_to_the_role_is_a_change_to_its_sessions(server: Production, iam: Any, sts: Any) -> None:
    role = new_role(iam, trusting(user("Alice")), allow("kms:ListKeys"))
    mine = using(server.url, assumed(sts, role))
    mine.list_keys()
    iam.delete_role_policy(RoleName=role.rpartition("/")[2], PolicyName="p")
    assert code_of(mine.list_keys) == "AccessDeniedException"


def test_older_sessions_are_revoked_by_a_policy(server: Production, iam: Any, sts: Any) -> None:
    """The policy that the guide, and the console's "Revoke active sessions", puts on the role."""
    role = new_role(iam, trusting(user("Alice")), allow("kms:ListKeys"))
    mine = using(server.url, assumed(sts, role))
    mine.list_keys()
    for moment, is_revoked in (("2020-01-01T00:00:00Z", False), ("2999-01-01T00:00:00Z", True)):
        condition = {"DateLessThan": {"aws:TokenIssueTime": moment}}
        policy = document(allow("*", effect="Deny", Condition=condition))
        iam.put_role_policy(RoleName=role.rpartition("/")[2], PolicyName="revoke", PolicyDocument=policy)
        assert code_of(mine.list_keys) == ("AccessDeniedException" if is_revoked else "")


# -- sessions that never were


def test_a_token_that_was_touched(server: Production, session: Any) -> None:
    middle = len(session["SessionToken"]) // 2
    text = session["SessionToken"]
    other = "A" if text[middle] != "A" else "B"
    for touched in (text[:middle] + other + text[middle + 1 :], text[:-8], text[8:], text + "AAAA", "x"):
        with refused("UnrecognizedClientException", INVALID):
            using(server.url, session | {"SessionToken": touched}).list_keys()


def test_a_token_of_another_session(server: Production, sts: Any, session: Any) -> None:
    other = sts.get_session_token()["Credentials"]
    with refused("UnrecognizedClientException", INVALID):
        using(server.url, session | {"SessionToken": other["SessionToken"]}).list_keys()
    assert (
        code_of(using(server.url, other | {"SecretAccessKey": session["SecretAccessKey"]}).list_keys)
        == "InvalidSignatureException"
    )


def test_a_token_of_another_server(server: Production, start: Callable[..., Production]) -> None:
    foreign = start().client("sts").get_session_token()["Credentials"]
    with refused("UnrecognizedClientException", INVALID):
        using(server.url, foreign).list_keys()


def test_a_session_survives_a_restart(start: Callable[..., Production]) -> None:
    first = start()
    credentials = first.client("sts").get_session_token()["Credentials"]
    first.stop()
    second = start()
    assert using(second.url, credentials, "sts").get_caller_identity()["Arn"] == ROOT


def test_the_last_use_of_an_access_key_is_known(server: Production, iam: Any) -> None:
    server.client("sts", ALICE._replace(region="eu-west-1")).get_caller_identity()
    for _ in range(100):
        found = iam.get_access_key_last_used(AccessKeyId=ALICE.key_id)
        if found["AccessKeyLastUsed"].get("Region") == "eu-west-1":
            break
        time.sleep(0.05)
    assert found["UserName"] == "Alice"
    assert (found["AccessKeyLastUsed"]["ServiceName"], found["AccessKeyLastUsed"]["Region"]) == ("sts", "eu-west-1")
