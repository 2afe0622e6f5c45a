# SPDX-License-Identifier: Apache-2.0
"""What goes through all operations: dry runs, quotas, pages of lists, and Recipient."""

import base64
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from boundaries import model
from direct import ACCOUNT, REGION, Direct, Told, development
from servers import Access, Program, client, code_of, refused

pytestmark = pytest.mark.slow

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
WOULD = "The request would have succeeded, but the DryRun option is set."
CONTEXT = {"purpose": "test"}


@pytest.fixture(scope="module")
def kms() -> Iterator[Direct]:
    with development() as direct:
        yield direct


def with_member(name: str) -> set[str]:
    """The operations whose request has this member, by AWS's model."""
    described = model()
    shapes = {operation: described.operation_model(operation).input_shape for operation in described.operation_names}
    return {operation for operation, shape in shapes.items() if shape is not None and name in shape.members}


# -- dry runs


class Dry(NamedTuple):
    """A request that would succeed. ``others``: changes to it that are refused all the same, and the error then."""

    key: dict[str, Any]
    members: Callable[[Direct, str], dict[str, Any]]
    others: tuple[tuple[dict[str, Any], str], ...] = ()
    ref: str = "KeyId"


SYMMETRIC: dict[str, Any] = {}
SIGNING = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
AGREEING = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}
MAC = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
SHARING = {"KeySpec": "ML_KEM_512", "KeyUsage": "ENCAPSULATE_DECAPSULATE"}
USAGE = "InvalidKeyUsageException"
ALGORITHM = "InvalidKeyUsageException"
BYTES = base64.b64encode(b"m").decode()
GRANT = {"GranteePrincipal": ROOT, "RetiringPrincipal": ROOT, "Operations": ["DescribeKey"]}


def encrypted(kms: Direct, key: str) -> dict[str, Any]:
    blob = kms("Encrypt", KeyId=key, Plaintext=BYTES, EncryptionContext=CONTEXT).body["CiphertextBlob"]
    return {"CiphertextBlob": blob, "EncryptionContext": CONTEXT}


def moved(kms: Direct, key: str) -> dict[str, Any]:
    blob = encrypted(kms, key)["CiphertextBlob"]
    return {"CiphertextBlob": blob, "SourceEncryptionContext": CONTEXT, "DestinationKeyId": kms.key()}


def signed(kms: Direct, key: str) -> dict[str, Any]:
    asked = {"KeyId": key, "Message": BYTES, "SigningAlgorithm": "ECDSA_SHA_256"}
    return {**asked, "Signature": kms("Sign", **asked).body["Signature"]}


def tagged(kms: Direct, key: str) -> dict[str, Any]:
    asked = {"KeyId": key, "Message": BYTES, "MacAlgorithm": "HMAC_SHA_256"}
    return {**asked, "Mac": kms("GenerateMac", **asked).body["Mac"]}


def shared(kms: Direct, key: str) -> dict[str, Any]:
    answer = kms("Encapsulate", KeyId=key, EncapsulationAlgorithm="ML_KEM").body
    return {"SharedSecretCiphertextBlob": answer["SharedSecretCiphertextBlob"], "EncapsulationAlgorithm": "ML_KEM"}


def agreed(kms: Direct, key: str) -> dict[str, Any]:
    other = kms("GetPublicKey", KeyId=kms.key(**AGREEING)).body["PublicKey"]
    return {"PublicKey": other, "KeyAgreementAlgorithm": "ECDH"}


def granted(kms: Direct, key: str) -> dict[str, Any]:
    return {"GrantId": kms("CreateGrant", KeyId=key, **GRANT).body["GrantId"]}


def plainly(**members: Any) -> Callable[[Direct, str], dict[str, Any]]:
    return lambda kms, key: members


DRY = {
    "Encrypt": Dry(SYMMETRIC, plainly(Plaintext=BYTES), (({"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, ALGORITHM),)),
    "Decrypt": Dry(
        SYMMETRIC,
        encrypted,
        (
            ({"EncryptionContext": {}}, "InvalidCiphertextException"),
            ({"CiphertextBlob": BYTES}, "InvalidCiphertextException"),
            ({"CiphertextBlob": None}, "ValidationException"),
        ),
    ),
    "ReEncrypt": Dry(
        SYMMETRIC,
        moved,
        (
            ({"SourceEncryptionContext": {}}, "InvalidCiphertextException"),
            ({"DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, ALGORITHM),
        ),
        ref="SourceKeyId",
    ),
    "GenerateDataKey": Dry(
        SYMMETRIC, plainly(KeySpec="AES_256"), (({"NumberOfBytes": 3}, "ValidationException"),)
    ),
    "GenerateDataKeyWithoutPlaintext": Dry(
        SYMMETRIC, plainly(NumberOfBytes=9), (({"NumberOfBytes": None}, "ValidationException"),)
    ),
    "GenerateDataKeyPair": Dry(
        SYMMETRIC,
        plainly(KeyPairSpec="ECC_NIST_P256"),
        (({"KeyPairSpec": "SM2"}, "UnsupportedOperationException"),),
    ),
    "GenerateDataKeyPairWithoutPlaintext": Dry(SYMMETRIC, plainly(KeyPairSpec="ECC_NIST_P256")),
    "Sign": Dry(
        SIGNING,
        plainly(Message=BYTES, SigningAlgorithm="ECDSA_SHA_256"),
        (({"SigningAlgorithm": "ECDSA_SHA_384"}, ALGORITHM), ({"MessageType": "DIGEST"}, "ValidationException")),
    ),
    "Verify": Dry(SIGNING, signed, (({"Signature": BYTES}, "KMSInvalidSignatureException"),)),
    "GenerateMac": Dry(
        MAC, plainly(Message=BYTES, MacAlgorithm="HMAC_SHA_256"), (({"MacAlgorithm": "HMAC_SHA_512"}, ALGORITHM),)
    ),
    "VerifyMac": Dry(MAC, tagged, (({"Mac": BYTES}, "KMSInvalidMacException"),)),
    "DeriveSharedSecret": Dry(AGREEING, agreed, (({"PublicKey": BYTES}, "ValidationException"),)),
    "Encapsulate": Dry(SHARING, plainly(EncapsulationAlgorithm="ML_KEM")),
    "Decapsulate": Dry(SHARING, shared, (({"SharedSecretCiphertextBlob": BYTES}, "InvalidCiphertextException"),)),
    "CreateGrant": Dry(
        SYMMETRIC, plainly(**GRANT), (({"Operations": ["Sign"]}, "ValidationException"),)
    ),
    "RetireGrant": Dry(SYMMETRIC, granted, (({"GrantId": "0" * 64}, "NotFoundException"),)),
    "RevokeGrant": Dry(SYMMETRIC, granted, (({"GrantId": "0" * 64}, "NotFoundException"),)),
}  # fmt: skip


def test_dry_runs_are_of_the_seventeen_operations_that_have_them() -> None:
    assert set(DRY) == with_member("DryRun")
    assert len(DRY) == 17


@pytest.mark.parametrize("operation", DRY)
def test_a_dry_run_checks_everything_and_does_nothing(kms: Direct, operation: str) -> None:
    dry = DRY[operation]
    key = kms.key(**dry.key)
    members = dry.members(kms, key)
    request = {**members, dry.ref: kms("DescribeKey", KeyId=key).body["KeyMetadata"]["Arn"]}

    def seen() -> list[Any]:
        return [kms(look, KeyId=key).body for look in ("GetKeyLastUsage", "ListGrants", "DescribeKey")]

    def dry_run(**changes: Any) -> Told:
        told = kms(operation, **{**request, "DryRun": True, **changes})
        assert set(told.body) <= {"__type", "message"}
        return told

    before = seen()
    assert dry_run()[:2] == ("DryRunOperationException", WOULD)
    for changes, code in dry.others:
        assert dry_run(**changes).code == code, changes
    # state: a grant can be given up in any
    kms("DisableKey", KeyId=key)
    gives_up = operation in ("RetireGrant", "RevokeGrant")
    arn = request[dry.ref]
    disabled = ("DryRunOperationException", WOULD) if gives_up else ("DisabledException", f"{arn} is disabled.")
    assert dry_run()[:2] == disabled
    kms("ScheduleKeyDeletion", KeyId=key)
    assert dry_run().code == ("DryRunOperationException" if gives_up else "KMSInvalidStateException")
    kms("CancelKeyDeletion", KeyId=key)
    kms("EnableKey", KeyId=key)
    # usage
    other = kms("DescribeKey", KeyId=kms.key(**(MAC if dry.key != MAC else SIGNING))).body["KeyMetadata"]
    if "Grant" not in operation and operation not in ("Decrypt", "ReEncrypt"):
        words = f"{other['Arn']} key usage is {other['KeyUsage']} which is not valid for {operation}."
        assert dry_run(**{dry.ref: other["Arn"]})[:2] == (USAGE, words)
    assert dry_run(**{dry.ref: "0000abcd-12ab-34cd-56ef-1234567890ab"}).code == "NotFoundException"
    assert seen() == before
    # and it does succeed
    for wet in ({}, {"DryRun": False}):
        if wet and gives_up:
            request |= dry.members(kms, key)
        assert kms(operation, **{**request, **wet}).code is None
    assert seen() != before


@pytest.mark.parametrize(("operation", "ref"), [("Decrypt", "KeyId"), ("ReEncrypt", "SourceKeyId")])
def test_a_dry_run_can_leave_the_ciphertext_out(kms: Direct, operation: str, ref: str) -> None:
    """DryRunModifiers IGNORE_CIPHERTEXT: everything about the keys is checked, nothing about the ciphertext."""
    key, mac = kms.key(), kms.key(**MAC)
    request: dict[str, Any] = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    request |= {"DestinationKeyId": kms.key()} if operation == "ReEncrypt" else {}
    foreign = encrypted(kms, kms.key())["CiphertextBlob"]
    for ciphertext in ({}, {"CiphertextBlob": BYTES}, {"CiphertextBlob": foreign}):
        assert kms(operation, **request, **ciphertext, **{ref: key})[:2] == ("DryRunOperationException", WOULD)
        assert kms(operation, **request, **ciphertext, **{ref: mac}).code == USAGE
        assert kms(operation, **request, **ciphertext).code == "ValidationException"
    kms("DisableKey", KeyId=key)
    assert kms(operation, **request, **{ref: key}).code == "DisabledException"
    kms("EnableKey", KeyId=key)
    # it is a modifier of dry runs and of nothing else
    wet = {**request, "DryRun": False, ref: key}
    assert kms(operation, **wet).code == "ValidationException"
    assert kms(operation, **wet, CiphertextBlob=foreign).code == "IncorrectKeyException"
    assert kms(operation, **{**request, "DryRunModifiers": [], ref: key}).code == "ValidationException"


def test_a_dry_run_of_a_grant_by_its_token_leaves_the_grant(kms: Direct) -> None:
    key = kms.key()
    token = kms("CreateGrant", KeyId=key, **GRANT).body["GrantToken"]
    assert kms("RetireGrant", GrantToken=token, DryRun=True).code == "DryRunOperationException"
    assert len(kms("ListGrants", KeyId=key).body["Grants"]) == 1
    assert kms("RetireGrant", GrantToken=token).code is None
    assert kms("RetireGrant", GrantToken=token, DryRun=True).code == "NotFoundException"


# -- Recipient


def test_recipient_is_refused_where_it_exists(kms: Direct) -> None:
    requests: dict[str, dict[str, Any]] = {
        "Decrypt": {"CiphertextBlob": encrypted(kms, kms.key())["CiphertextBlob"], "EncryptionContext": CONTEXT},
        "DeriveSharedSecret": {"KeyId": (key := kms.key(**AGREEING)), **agreed(kms, key)},
        "GenerateDataKey": {"KeyId": kms.key(), "KeySpec": "AES_128"},
        "GenerateDataKeyPair": {"KeyId": kms.key(), "KeyPairSpec": "ECC_NIST_P256"},
        "GenerateRandom": {"NumberOfBytes": 3},
    }
    assert set(requests) == with_member("Recipient")
    for operation, request in requests.items():
        for recipient in ({}, {"AttestationDocument": BYTES, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}):
            for dry in ({}, {"DryRun": True}):
                told = kms(operation, **request, Recipient=recipient, **dry)
                assert told.code == "ValidationException"
                assert "Recipient" in (told.message or "")
                assert set(told.body) == {"__type", "message"}
        assert kms(operation, **request).code is None


# -- quotas


def test_quotas_are_those_of_the_command_line(start_dev: Callable[..., Program]) -> None:
    limits = ("keys_per_region=3", "aliases_per_key=2", "grants_per_key=2", "tags_per_key=2")
    options = [word for limit in (*limits, "on_demand_rotations_per_key=1") for word in ("--quota", limit)]
    server = start_dev(*options)
    kms = client(server.url, "kms", Access("test", "test"))
    key, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
    limit = "LimitExceededException"

    for name in ("alias/1", "alias/2"):
        kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    with refused(limit, "A KMS key can have at most 2 aliases."):
        kms.create_alias(AliasName="alias/3", TargetKeyId=key["KeyId"])
    kms.create_alias(AliasName="alias/3", TargetKeyId=other["KeyId"])
    with refused(limit, "A KMS key can have at most 2 aliases."):
        kms.update_alias(AliasName="alias/3", TargetKeyId=key["KeyId"])
    kms.update_alias(AliasName="alias/1", TargetKeyId=key["KeyId"])  # it is there already
    kms.delete_alias(AliasName="alias/1")
    kms.update_alias(AliasName="alias/3", TargetKeyId=key["KeyId"])

    grant = {**GRANT, "KeyId": key["KeyId"], "Name": "same"}
    first = kms.create_grant(**grant)
    second = kms.create_grant(**{**grant, "Name": "other"})
    with refused(limit, "A KMS key can have at most 2 grants."):
        kms.create_grant(**{**grant, "Name": "third"})
    with refused(limit, "A KMS key can have at most 2 grants."):
        kms.create_grant(**{**grant, "Name": "third"}, DryRun=True)
    assert kms.create_grant(**grant)["GrantId"] == first["GrantId"]
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=second["GrantId"])
    kms.create_grant(**{**grant, "Name": "third"})

    tags = [{"TagKey": name, "TagValue": "v"} for name in ("a", "b", "c")]
    kms.tag_resource(KeyId=key["KeyId"], Tags=tags[:2])
    for call, arguments in (
        (kms.tag_resource, {"KeyId": key["KeyId"], "Tags": tags[2:]}),
        (kms.tag_resource, {"KeyId": other["KeyId"], "Tags": tags}),
        (kms.create_key, {"Tags": tags}),
    ):
        with refused("TagException", "Too many tags"):
            call(**arguments)
    kms.tag_resource(KeyId=key["KeyId"], Tags=tags[:1])
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=["a"])
    kms.tag_resource(KeyId=key["KeyId"], Tags=tags[2:])

    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    with refused(
        limit,
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be "
        f"performed for this key: {key['Arn']}",
    ):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])

    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]
    with refused(limit, "An account can have at most 3 KMS keys in a Region."):
        kms.create_key()
    there = client(server.url, "kms", Access("test", "test", "eu-west-1"))
    for _ in range(3):
        there.create_key()
    with refused(limit, "An account can have at most 3 KMS keys in a Region."):
        kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion="eu-west-1")
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion="eu-west-2")


def test_a_key_policy_has_at_most_32768_bytes(kms: Direct) -> None:
    key = kms.key()
    bare = kms("GetKeyPolicy", KeyId=key).body["Policy"]
    fits = bare + " " * (32_768 - len(bare))
    words = ("LimitExceededException", "The key policy exceeds the limit of 32768 bytes.")
    primary = kms.key(MultiRegion=True)
    for operation, members in (
        ("PutKeyPolicy", {"KeyId": key}),
        ("CreateKey", {}),
        ("ReplicateKey", {"KeyId": primary, "ReplicaRegion": "eu-west-1"}),
    ):
        assert kms(operation, **members, Policy=fits + " ")[:2] == words
        assert kms(operation, **members, Policy=fits).code is None
    # of bytes, not of characters
    assert kms("PutKeyPolicy", KeyId=key, Policy=bare.replace("Enable", "\u00fc" * 32_000)).code == words[0]


# -- lists


class Listed(NamedTuple):
    """A list: the member that holds it, what tells its items apart, and what adds an item to it."""

    result: str
    identity: str
    add: Callable[[Direct, str, int], Told]
    members: Callable[[str], dict[str, Any]] = lambda key: {"KeyId": key}


RETIRING = f"arn:aws:iam::{ACCOUNT}:user/retires"
LISTS = {
    "ListKeys": Listed("Keys", "KeyId", lambda kms, key, n: kms("CreateKey"), lambda key: {}),
    "ListAliases": Listed(
        "Aliases",
        "AliasName",
        # scattered, so that some come before the place that the reader has reached
        lambda kms, key, n: kms("CreateAlias", AliasName=f"alias/{n * 37 % 101:03}-{key}", TargetKeyId=key),
    ),
    "ListGrants": Listed("Grants", "GrantId", lambda kms, key, n: kms("CreateGrant", KeyId=key, **GRANT)),
    "ListRetirableGrants": Listed(
        "Grants",
        "GrantId",
        lambda kms, key, n: kms("CreateGrant", KeyId=key, **{**GRANT, "RetiringPrincipal": RETIRING}),
        lambda key: {"RetiringPrincipal": RETIRING},
    ),
    "ListResourceTags": Listed(
        "Tags",
        "TagKey",
        lambda kms, key, n: kms("TagResource", KeyId=key, Tags=[{"TagKey": f"{n * 37 % 101:03}", "TagValue": "v"}]),
    ),
    "ListKeyRotations": Listed(
        "Rotations", "KeyMaterialId", lambda kms, key, n: kms("RotateKeyOnDemand", KeyId=key)
    ),
}  # fmt: skip


def read_through(kms: Direct, operation: str, request: dict[str, Any], limit: int) -> list[str]:
    """What every page shows, in order."""
    listed, found = LISTS[operation], list[str]()
    marker: dict[str, str] = {}
    while True:
        told = kms(operation, **request, Limit=limit, **marker)
        assert told.code is None, told
        page = told.body[listed.result]
        assert len(page) <= limit
        assert told.body["Truncated"] == ("NextMarker" in told.body)
        found += [item[listed.identity] for item in page]
        if not told.body["Truncated"]:
            return found
        assert len(page) == limit
        marker = {"Marker": told.body["NextMarker"]}


def test_every_list_with_markers_is_here() -> None:
    assert set(LISTS) | {"ListKeyPolicies"} == with_member("Marker") - {"DescribeCustomKeyStores"}


@pytest.mark.parametrize("operation", LISTS)
def test_pages_skip_and_repeat_nothing_while_items_are_added(operation: str) -> None:
    listed = LISTS[operation]
    with development() as kms:
        key = kms.key()
        request = listed.members(key)
        for n in range(10):
            assert listed.add(kms, key, n).code is None
        first = set(read_through(kms, operation, request, 100 if operation != "ListResourceTags" else 50))
        refusals: list[Told] = []

        def add() -> None:
            refusals.extend(told for n in range(10, 24) if (told := listed.add(kms, key, n)).code is not None)

        adding = threading.Thread(target=add)
        adding.start()
        readings: list[list[str]] = []
        while adding.is_alive() or len(readings) < 3:
            readings.append(read_through(kms, operation, request, 1 + len(readings) % 3))
        adding.join()
        assert refusals == []
        sofar = first
        for reading in readings:
            assert len(reading) == len(set(reading))
            assert sofar <= set(reading)
            sofar = set(reading)
        final = read_through(kms, operation, request, 50)
        assert sofar <= set(final)
        assert len(final) == len(set(final)) == len(first) + 14


@pytest.mark.parametrize("operation", [*LISTS, "ListKeyPolicies"])
def test_a_marker_is_good_for_its_own_list_only(kms: Direct, operation: str) -> None:
    key, other = kms.key(), kms.key()
    for listed, which, n in itertools.product(LISTS.values(), (key, other), range(2)):
        assert listed.add(kms, which, n).code is None
    markers = {
        (name, which): kms(name, **listed.members(which), Limit=1).body["NextMarker"]
        for name, listed in LISTS.items()
        for which in (key, other)
    }
    request = LISTS[operation].members(key) if operation in LISTS else {"KeyId": key}
    own = markers.get((operation, key))
    damaged = [own[:-1], own[1:], own + "A", own[:20] + ("B" if own[20] == "A" else "A") + own[21:]] if own else []
    foreign = set(markers.values()) - {own, markers.get((operation, other)) if "KeyId" not in request else None}
    for marker in (*damaged, *foreign, "a", " ", "A" * 1024):
        told = kms(operation, **request, Marker=marker)
        assert told[:2] == ("InvalidMarkerException", "The marker is not valid for this request."), marker
    if own is not None:
        assert kms(operation, **request, Marker=own).code is None


def test_a_marker_knows_the_filters_and_the_region(start_dev: Callable[..., Program]) -> None:
    server = start_dev()
    kms, there = (client(server.url, "kms", Access("test", "test", region)) for region in (REGION, "eu-west-1"))
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    kms.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
    for region in (kms, there):
        region.create_key()
        for n in range(2):
            region.create_grant(KeyId=key, **GRANT)
            region.create_alias(AliasName=f"alias/{n}", TargetKeyId=key)
            kms.rotate_key_on_demand(KeyId=key)
        region.tag_resource(KeyId=key, Tags=[{"TagKey": n, "TagValue": n} for n in "ab"])
    for name, members in (
        ("list_keys", {}),
        ("list_aliases", {}),
        ("list_aliases", {"KeyId": key}),
        ("list_grants", {"KeyId": key}),
        ("list_resource_tags", {"KeyId": key}),
        ("list_key_rotations", {"KeyId": key}),
        ("list_retirable_grants", {"RetiringPrincipal": ROOT}),
    ):
        marker = getattr(kms, name)(**members, Limit=1)["NextMarker"]
        assert code_of(getattr(there, name), **members, Marker=marker) == "InvalidMarkerException"
        assert code_of(getattr(kms, name), **members, Marker=marker) == ""
    marker = kms.list_grants(KeyId=key, Limit=1)["NextMarker"]
    assert code_of(kms.list_grants, KeyId=key, GranteePrincipal=ROOT, Marker=marker) == "InvalidMarkerException"
    marker = kms.list_aliases(KeyId=key, Limit=1)["NextMarker"]
    assert code_of(kms.list_aliases, Marker=marker) == "InvalidMarkerException"
    marker = kms.list_key_rotations(KeyId=key, Limit=1)["NextMarker"]
    everything = {"KeyId": key, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
    assert code_of(kms.list_key_rotations, **everything, Marker=marker) == "InvalidMarkerException"
