# SPDX-License-Identifier: Apache-2.0
"""Grants: making, finding, retiring and revoking them. (What they allow is decided elsewhere.)"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from matrix import KINDS, Kind, Stock, call, cases, outcome
from servers import ACCOUNT, REGION, Access, Production, Program, client, refused

pytestmark = pytest.mark.slow

ALICE = f"arn:aws:iam::{ACCOUNT}:user/Alice"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/path/to/Clerk"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/Clerk/session"
SERVICE = "dynamodb.us-east-1.amazonaws.com"
SOURCE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
DRY_RUN = ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
HEX = set("0123456789abcdef")

EVERY_KEY = {"DescribeKey", "CreateGrant", "RetireGrant"}
OF_USAGE = {
    "ENCRYPT_DECRYPT": {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"},
    "SIGN_VERIFY": {"Sign", "Verify", "GetPublicKey"},
    "GENERATE_VERIFY_MAC": {"GenerateMac", "VerifyMac"},
    "KEY_AGREEMENT": {"DeriveSharedSecret", "GetPublicKey"},
    "ENCAPSULATE_DECAPSULATE": {"Encapsulate", "Decapsulate", "GetPublicKey"},
}
OF_SYMMETRIC = {
    *("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
    *("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"),
}


@pytest.fixture(scope="module")
def stock(kms: Any) -> Stock:
    return Stock(kms)


@pytest.fixture(scope="module")
def unchecked(server: Production) -> Any:
    """A client that does not hold back what the model forbids."""
    return server.client(config=Config(parameter_validation=False, retries={"total_max_attempts": 1}))


def grant(key: Any, **changes: Any) -> dict[str, Any]:
    """The members of CreateGrant; ``changes`` replace some, or take them away with None."""
    request = {"KeyId": key["KeyId"], "GranteePrincipal": ALICE, "Operations": ["Encrypt", "Decrypt"], **changes}
    return {name: value for name, value in request.items() if value is not None}


def listed(kms: Any, key: Any, **filters: Any) -> list[dict[str, Any]]:
    answer = call(kms, "ListGrants", KeyId=key["KeyId"], **filters)
    found: list[dict[str, Any]] = answer["Grants"]
    return found


def ids(grants: list[dict[str, Any]]) -> set[str]:
    return {str(entry["GrantId"]) for entry in grants}


# -- making


def test_a_grant_with_everything(kms: Any, key: Any) -> None:
    constraints = {
        "EncryptionContextSubset": {"tenant": "a"},
        "EncryptionContextEquals": {"tenant": "a", "table": "b"},
        "SourceArn": SOURCE,
    }
    answer = call(
        kms,
        "CreateGrant",
        **grant(key, RetiringPrincipal=ROLE, Name="orders/1:a_b-c", Constraints=constraints),
    )
    assert set(answer) == {"GrantId", "GrantToken"}
    assert (len(answer["GrantId"]), set(answer["GrantId"]) <= HEX) == (64, True)
    (entry,) = listed(kms, key)
    del entry["CreationDate"]
    assert sorted(entry.pop("Operations")) == ["Decrypt", "Encrypt"]
    assert entry == {
        "KeyId": key["Arn"],
        "GrantId": answer["GrantId"],
        "Name": "orders/1:a_b-c",
        "GranteePrincipal": ALICE,
        "RetiringPrincipal": ROLE,
        "IssuingAccount": f"arn:aws:iam::{ACCOUNT}:root",
        "Constraints": constraints,
    }


def test_a_grant_with_the_least(kms: Any, key: Any) -> None:
    kms.create_grant(**grant(key, Operations=["DescribeKey"]))
    (entry,) = listed(kms, key)
    assert set(entry) == {"KeyId", "GrantId", "CreationDate", "GranteePrincipal", "IssuingAccount", "Operations"}
    assert call(kms, "ListGrants", KeyId=kms.create_key()["KeyMetadata"]["KeyId"]) == {
        "Grants": [],
        "Truncated": False,
    }


def test_a_grant_to_a_service(kms: Any, key: Any) -> None:
    services = grant(key, GranteePrincipal=None, GranteeServicePrincipal=SERVICE, Constraints={"SourceArn": SOURCE})
    message = "A grant to a service principal needs the grant constraint SourceArn and a retiring principal."
    for missing in (services, {**services, "RetiringPrincipal": ALICE, "Constraints": {}}):
        assert outcome(kms, "CreateGrant", **missing) == ("ValidationException", message)
    without = {name: value for name, value in services.items() if name != "Constraints"}
    assert outcome(kms, "CreateGrant", **without, RetiringPrincipal=ALICE) == ("ValidationException", message)
    kms.create_grant(**services, RetiringServicePrincipal=SERVICE)
    (entry,) = listed(kms, key)
    assert (entry["GranteeServicePrincipal"], entry["RetiringServicePrincipal"]) == (SERVICE, SERVICE)
    assert not {"GranteePrincipal", "RetiringPrincipal"} & set(entry)
    assert listed(kms, key, GranteeServicePrincipal=SERVICE) == [entry]
    assert call(kms, "ListRetirableGrants", RetiringServicePrincipal=SERVICE)["Grants"] == [entry]


def test_a_name_makes_it_idempotent(kms: Any, key: Any) -> None:
    request = grant(key, Name="one", Constraints={"EncryptionContextSubset": {"a": "1", "b": "2"}})
    first, again = (call(kms, "CreateGrant", **request) for _ in range(2))
    assert first["GrantId"] == again["GrantId"]
    assert first["GrantToken"] != again["GrantToken"]
    reordered = {
        **request,
        "Operations": ["Decrypt", "Encrypt"],
        "Constraints": {"EncryptionContextSubset": {"b": "2", "a": "1"}},
    }
    assert call(kms, "CreateGrant", **reordered)["GrantId"] == first["GrantId"]
    for other in (
        {**request, "Operations": ["Encrypt"]},
        {**request, "GranteePrincipal": ROLE},
        {**request, "RetiringPrincipal": ROLE},
        {**request, "Name": "two"},
        {**request, "Constraints": {"EncryptionContextEquals": {"a": "1", "b": "2"}}},
        {name: value for name, value in request.items() if name != "Name"},
    ):
        assert call(kms, "CreateGrant", **other)["GrantId"] != first["GrantId"]
    nameless = grant(key)
    assert len({call(kms, "CreateGrant", **nameless)["GrantId"] for _ in range(3)}) == 3
    # Either token names the grant.
    kms.retire_grant(GrantToken=first["GrantToken"])
    assert outcome(kms, "RetireGrant", GrantToken=again["GrantToken"])[0] == "NotFoundException"


@pytest.mark.parametrize(
    "principal",
    [ALICE, ROLE, SESSION, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, "arn:aws:iam::444455556666:user/Bob"],
)
def test_who_can_be_granted(kms: Any, key: Any, principal: str) -> None:
    kms.create_grant(**grant(key, GranteePrincipal=principal, RetiringPrincipal=principal))
    (entry,) = listed(kms, key)
    told = f"arn:aws:iam::{ACCOUNT}:root" if principal == ACCOUNT else principal
    assert (entry["GranteePrincipal"], entry["RetiringPrincipal"]) == (told, told)


@pytest.mark.parametrize(
    "principal",
    [
        "Alice",
        "arn:aws:s3:::bucket",
        "arn:aws:iam::1:root",
        f"arn:aws:iam::{ACCOUNT}:group/Staff",
        f"arn:aws:iam::{ACCOUNT}:user/alice",
        f"arn:aws:iam::{ACCOUNT}:user/path/to/Alice",
        f"arn:aws:iam::{ACCOUNT}:role/Clerk",
        f"arn:aws:iam::{ACCOUNT}:user/Clerk",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/clerk/session",
        f"arn:aws:sts::{ACCOUNT}:federated-user/Bob",
        "arn:aws:iam::999999999999:root",
    ],
)
def test_who_cannot_be_granted(kms: Any, key: Any, principal: str) -> None:
    """Malformed, or not there: names are told apart by case, and an ARN has the path."""
    message = f"ARN does not refer to a valid principal: {principal}"
    for member in ("GranteePrincipal", "RetiringPrincipal"):
        with refused("InvalidArnException", message):
            kms.create_grant(**grant(key, **{member: principal}))
    assert listed(kms, key) == []


@cases(KINDS)
def test_operations_of_each_kind_of_key(kms: Any, stock: Stock, kind: Kind) -> None:
    model = kms.meta.service_model.shape_for("GrantOperation").enum
    allowed = EVERY_KEY | (OF_SYMMETRIC if kind.spec == "SYMMETRIC_DEFAULT" else OF_USAGE[kind.usage])
    assert allowed < set(model)
    key = stock.key(kind)
    made = call(kms, "CreateGrant", **grant(key, Operations=sorted(allowed)))["GrantId"]
    (entry,) = listed(kms, key, GrantId=made)
    assert set(entry["Operations"]) == allowed
    for operation in set(model) - allowed:
        code, message = outcome(kms, "CreateGrant", **grant(key, Operations=["DescribeKey", operation]))
        assert code == "ValidationException"
        assert operation in message
    assert ids(listed(kms, key)) == {made}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Operations": ["CreateGrant"]}, "Grants must not contain only the CreateGrant operation."),
        ({"Operations": []}, "A grant must allow at least one operation."),
        ({"GranteePrincipal": None}, "Specify either GranteePrincipal or GranteeServicePrincipal."),
        (
            {"GranteeServicePrincipal": SERVICE},
            "Specify either GranteePrincipal or GranteeServicePrincipal, but not both.",
        ),
        (
            {"RetiringPrincipal": ALICE, "RetiringServicePrincipal": SERVICE},
            "Specify either RetiringPrincipal or RetiringServicePrincipal, but not both.",
        ),
        (
            {"Constraints": {"EncryptionContextSubset": {str(n): "" for n in range(9)}}},
            "A grant constraint can have at most 8 pairs.",
        ),
    ],
)
def test_grants_that_are_refused(kms: Any, key: Any, changes: Any, message: str) -> None:
    with refused("ValidationException", message):
        kms.create_grant(**grant(key, **changes))
    assert listed(kms, key) == []


def test_bounds_of_the_model(unchecked: Any, key: Any) -> None:
    for changes, member in (
        ({"Name": "a b"}, "'name'"),
        ({"Name": ""}, "'name'"),
        ({"Name": "n" * 257}, "'name'"),
        ({"Operations": ["Dance"]}, "'operations"),
        ({"GranteePrincipal": ""}, "'granteePrincipal'"),
        ({"GranteePrincipal": "*"}, "'granteePrincipal'"),
        ({"Operations": None}, "'operations'"),
    ):
        code, message = outcome(unchecked, "CreateGrant", **grant(key, **changes))
        assert (code, member in message) == ("ValidationException", True), message
    assert outcome(unchecked, "CreateGrant", **grant(key, Name="n" * 256)) == ("", "")


@cases([kind for kind in KINDS if kind.spec in ("RSA_2048", "HMAC_256", "ML_KEM_768")])
def test_context_constraints_are_for_symmetric_keys(kms: Any, stock: Stock, kind: Kind) -> None:
    key = stock.key(kind)
    for member in ("EncryptionContextEquals", "EncryptionContextSubset"):
        with refused(
            "ValidationException", "Encryption context grant constraints are for symmetric encryption keys only."
        ):
            kms.create_grant(**grant(key, Operations=["DescribeKey"], Constraints={member: {"a": "b"}}))


def test_states(kms: Any, key: Any) -> None:
    made = call(kms, "CreateGrant", **grant(key))
    kms.disable_key(KeyId=key["KeyId"])
    assert outcome(kms, "CreateGrant", **grant(key)) == ("DisabledException", f"{key['Arn']} is disabled.")
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    told = ("KMSInvalidStateException", f"{key['Arn']} is pending deletion.")
    assert outcome(kms, "CreateGrant", **grant(key)) == told
    waiting = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    told = ("KMSInvalidStateException", f"{waiting['Arn']} is pending import.")
    assert outcome(kms, "CreateGrant", **grant(waiting)) == told
    assert ids(listed(kms, key)) == {made["GrantId"]}
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=made["GrantId"])
    assert listed(kms, key) == []


def test_the_limit(start_dev: Callable[..., Program]) -> None:
    kms = client(start_dev("--quota", "grants_per_key=3").url, "kms", Access("test", "test"))
    key, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
    named = grant(key, Name="one")
    first = kms.create_grant(**named)["GrantId"]
    for _ in range(2):
        kms.create_grant(**grant(key))
    assert outcome(kms, "CreateGrant", **grant(key)) == (
        "LimitExceededException",
        "A KMS key can have at most 3 grants.",
    )
    assert kms.create_grant(**named)["GrantId"] == first  # it is there already
    assert outcome(kms, "CreateGrant", **grant(other)) == ("", "")
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=first)
    assert outcome(kms, "CreateGrant", **grant(key)) == ("", "")


# -- finding


def test_filters(kms: Any, key: Any) -> None:
    one = kms.create_grant(**grant(key))["GrantId"]
    two = kms.create_grant(**grant(key, GranteePrincipal=ROLE))["GrantId"]
    three = kms.create_grant(**grant(key, RetiringPrincipal=ROLE))["GrantId"]
    elsewhere = kms.create_grant(**grant(kms.create_key()["KeyMetadata"]))["GrantId"]
    assert ids(listed(kms, key)) == {one, two, three}
    assert ids(listed(kms, key, GranteePrincipal=ALICE)) == {one, three}
    assert ids(listed(kms, key, GranteePrincipal=ROLE)) == {two}
    assert ids(listed(kms, key, GrantId=two)) == {two}
    assert listed(kms, key, GrantId=two, GranteePrincipal=ALICE) == []
    for absent in (elsewhere, "0" * 64):
        assert listed(kms, key, GrantId=absent) == []
    with refused("ValidationException", "Specify either GranteePrincipal or GranteeServicePrincipal, but not both."):
        kms.list_grants(KeyId=key["KeyId"], GranteePrincipal=ALICE, GranteeServicePrincipal=SERVICE)


def pages(kms: Any, operation: str, limit: int, **arguments: Any) -> Iterator[list[dict[str, Any]]]:
    marker: dict[str, str] = {}
    while True:
        page = call(kms, operation, Limit=limit, **marker, **arguments)
        assert page["Truncated"] is ("NextMarker" in page)
        yield page["Grants"]
        if not page["Truncated"]:
            return
        marker = {"Marker": page["NextMarker"]}


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_lists_page_while_grants_come_and_go(server: Production, kms: Any, key: Any, limit: int) -> None:
    retiring = server.client("iam").create_user(UserName=key["KeyId"])["User"]["Arn"]
    made = {kms.create_grant(**grant(key, RetiringPrincipal=retiring))["GrantId"] for _ in range(7)}
    for operation, arguments in (
        ("ListGrants", {"KeyId": key["KeyId"]}),
        ("ListRetirableGrants", {"RetiringPrincipal": retiring}),
    ):
        found: list[str] = []
        for page in pages(kms, operation, limit, **arguments):
            assert len(page) <= limit
            found += [entry["GrantId"] for entry in page]
            extra = kms.create_grant(**grant(key, RetiringPrincipal=retiring))["GrantId"]
            kms.revoke_grant(KeyId=key["KeyId"], GrantId=extra)
        assert (len(found), set(found)) == (7, made)


def test_page_sizes(kms: Any, key: Any) -> None:
    for _ in range(101):
        kms.create_grant(**grant(key))
    assert len(listed(kms, key)) == 50
    assert len(listed(kms, key, Limit=100)) == 100
    assert sum(map(len, pages(kms, "ListGrants", 100, KeyId=key["KeyId"]))) == 101


def test_markers_are_for_one_list(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    for _ in range(2):
        kms.create_grant(**grant(key, RetiringPrincipal=ALICE))
    marker = call(kms, "ListGrants", KeyId=key["KeyId"], Limit=1)["NextMarker"]
    for operation, arguments in (
        ("ListGrants", {"KeyId": other["KeyId"], "Marker": marker}),
        ("ListGrants", {"KeyId": key["KeyId"], "Marker": marker, "GranteePrincipal": ALICE}),
        ("ListGrants", {"KeyId": key["KeyId"], "Marker": marker[:-1]}),
        ("ListRetirableGrants", {"RetiringPrincipal": ALICE, "Marker": marker}),
    ):
        assert outcome(kms, operation, **arguments)[0] == "InvalidMarkerException", arguments


def test_retirable_grants_are_of_every_key_of_the_region(server: Production, kms: Any, key: Any) -> None:
    retiring = server.client("iam").create_user(UserName="Retiring")["User"]["Arn"]
    elsewhere = server.client(access=Access(server.root.key_id, server.root.secret, "eu-west-1"))
    keys = [key, kms.create_key()["KeyMetadata"]]
    made = {kms.create_grant(**grant(k, RetiringPrincipal=retiring))["GrantId"] for k in keys}
    kms.create_grant(**grant(key))
    there = elsewhere.create_key()["KeyMetadata"]
    other = elsewhere.create_grant(**grant(there, RetiringPrincipal=retiring))["GrantId"]
    found = call(kms, "ListRetirableGrants", RetiringPrincipal=retiring)["Grants"]
    assert ids(found) == made
    assert {entry["KeyId"] for entry in found} == {k["Arn"] for k in keys}
    assert ids(call(elsewhere, "ListRetirableGrants", RetiringPrincipal=retiring)["Grants"]) == {other}
    assert outcome(kms, "ListRetirableGrants")[0] == "ValidationException"
    both = {"RetiringPrincipal": retiring, "RetiringServicePrincipal": SERVICE}
    assert outcome(kms, "ListRetirableGrants", **both)[0] == "ValidationException"
    assert outcome(kms, "ListRetirableGrants", RetiringPrincipal="nobody")[0] == "InvalidArnException"


def test_grants_are_nobody_elses(bob: Any, kms: Any, key: Any) -> None:
    made = kms.create_grant(**grant(key))["GrantId"]
    for operation, members in (
        ("CreateGrant", grant(key)),
        ("ListGrants", {}),
        ("RevokeGrant", {"GrantId": made}),
        ("RetireGrant", {"GrantId": made}),
    ):
        told = outcome(bob, operation, **{**members, "KeyId": key["Arn"]})
        assert told[0] == "AccessDeniedException", operation
    assert outcome(bob, "ListRetirableGrants", RetiringPrincipal=ALICE)[0] == "AccessDeniedException"
    assert ids(listed(kms, key)) == {made}


# -- the end


def test_grants_are_retired_by_token_or_by_key_and_id(kms: Any, key: Any) -> None:
    one, two, three = (call(kms, "CreateGrant", **grant(key)) for _ in range(3))
    assert call(kms, "RetireGrant", GrantToken=one["GrantToken"]) == {}
    assert call(kms, "RetireGrant", KeyId=key["Arn"], GrantId=two["GrantId"]) == {}
    assert call(kms, "RevokeGrant", KeyId=key["KeyId"], GrantId=three["GrantId"]) == {}
    assert listed(kms, key) == []
    gone = ("NotFoundException", f"Grant ID {one['GrantId']} not found")
    assert outcome(kms, "RetireGrant", GrantToken=one["GrantToken"]) == gone
    assert outcome(kms, "RetireGrant", KeyId=key["Arn"], GrantId=one["GrantId"]) == gone
    assert outcome(kms, "RevokeGrant", KeyId=key["Arn"], GrantId=one["GrantId"]) == gone


def test_a_grant_is_of_its_key(kms: Any, key: Any) -> None:
    made = call(kms, "CreateGrant", **grant(key))
    other = kms.create_key()["KeyMetadata"]
    for operation in ("RetireGrant", "RevokeGrant"):
        told = outcome(kms, operation, KeyId=other["Arn"], GrantId=made["GrantId"])
        assert told == ("NotFoundException", f"Grant ID {made['GrantId']} not found")
    assert ids(listed(kms, key)) == {made["GrantId"]}


def test_requests_that_name_no_grant(unchecked: Any, kms: Any, key: Any) -> None:
    made = call(kms, "CreateGrant", **grant(key))
    token, grant_id = made["GrantToken"], made["GrantId"]
    for request in ({}, {"KeyId": key["Arn"]}, {"GrantId": grant_id}):
        told = outcome(kms, "RetireGrant", **request)
        assert told == ("ValidationException", "Specify either GrantToken, or KeyId and GrantId.")
    told = outcome(kms, "RetireGrant", GrantToken=token, KeyId=key["Arn"], GrantId=grant_id)
    assert told == ("ValidationException", "Specify either GrantToken, or KeyId and GrantId, but not both.")
    flipped = token[:-1] + ("0" if token[-1] != "0" else "1")
    for bad in ("token", token[:-2], token + "00", flipped, token.upper(), f"{token[:2]} {token[2:]}"):
        assert outcome(kms, "RetireGrant", GrantToken=bad) == ("InvalidGrantTokenException", ""), bad
    assert outcome(unchecked, "RetireGrant", GrantToken="")[0] == "ValidationException"
    assert outcome(unchecked, "RevokeGrant", KeyId=key["KeyId"])[0] == "ValidationException"
    assert ids(listed(kms, key)) == {grant_id}


def test_dry_runs_do_nothing(kms: Any, key: Any) -> None:
    assert outcome(kms, "CreateGrant", **grant(key), DryRun=True) == DRY_RUN
    assert listed(kms, key) == []
    made = call(kms, "CreateGrant", **grant(key), DryRun=False)
    for operation, members in (
        ("RetireGrant", {"GrantToken": made["GrantToken"]}),
        ("RetireGrant", {"KeyId": key["Arn"], "GrantId": made["GrantId"]}),
        ("RevokeGrant", {"KeyId": key["Arn"], "GrantId": made["GrantId"]}),
    ):
        assert outcome(kms, operation, **members, DryRun=True) == DRY_RUN
    assert ids(listed(kms, key)) == {made["GrantId"]}
    absent = {"KeyId": key["Arn"], "GrantId": "0" * 64}
    assert outcome(kms, "RevokeGrant", **absent, DryRun=True)[0] == "NotFoundException"


@pytest.mark.slow
def test_grants_and_tokens_outlive_the_process(start: Callable[..., Production]) -> None:
    server = start()
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]
    one, two = (call(kms, "CreateGrant", **grant(key, GranteePrincipal=ACCOUNT)) for _ in range(2))
    before = listed(kms, key)
    server.stop()
    kms = start().client()
    assert listed(kms, key) == before
    kms.retire_grant(GrantToken=one["GrantToken"])
    assert ids(listed(kms, key)) == {two["GrantId"]}
