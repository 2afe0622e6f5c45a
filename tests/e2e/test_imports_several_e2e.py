# SPDX-License-Identifier: Apache-2.0
"""Keys with several imported materials, and in several Regions: what is new, what is known, what rotation needs."""

import os
from datetime import timedelta
from typing import Any

import pytest
from matrix import (
    EXISTING,
    EXPIRES,
    FOREVER,
    MAC,
    NEW,
    SIGNING,
    Kind,
    call,
    described,
    entries,
    external,
    outcome,
    own,
    put,
    refusal,
)

from keyquorum.testing import Server

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


@pytest.fixture
def dev(keyquorum: Server) -> Any:
    """A client of a server with a clock."""
    return keyquorum.client()


# -- several materials


@pytest.mark.slow
def test_types_and_ids_of_imports(kms: Any) -> None:
    key, first, second = external(kms), os.urandom(32), os.urandom(32)
    unknown = "0" * 64
    incorrect = ("IncorrectKeyMaterialException", "")
    assert refusal(kms, key, first, ImportType=EXISTING) == incorrect
    assert refusal(kms, key, first, ImportType=NEW, KeyMaterialId=unknown)[0] == "ValidationException"
    one = put(kms, key, first, ImportType=NEW, KeyMaterialDescription="the first")["KeyMaterialId"]
    assert refusal(kms, key, first, ImportType=NEW) == incorrect
    assert refusal(kms, key, second) == incorrect
    assert refusal(kms, key, second, ImportType=EXISTING) == incorrect
    assert refusal(kms, key, first, ImportType=EXISTING, KeyMaterialId=unknown) == incorrect
    assert put(kms, key, first, ImportType=EXISTING, KeyMaterialId=one)["KeyMaterialId"] == one
    assert put(kms, key, first)["KeyMaterialId"] == one
    (entry,) = entries(kms, key)
    assert entry == {
        "KeyId": key["Arn"],
        "KeyMaterialId": one,
        "KeyMaterialDescription": "the first",
        "ImportState": "IMPORTED",
        "KeyMaterialState": "CURRENT",
        "ExpirationModel": FOREVER,
    }
    put(kms, key, first, KeyMaterialDescription="the very first")
    assert entries(kms, key)[0]["KeyMaterialDescription"] == "the very first"
    # The same bytes in another key are another material.
    assert put(kms, external(kms), first)["KeyMaterialId"] != one


@pytest.mark.parametrize("members", [{"ImportType": NEW}, {"KeyMaterialDescription": "x"}, {"KeyMaterialId": "0" * 64}])
@pytest.mark.parametrize("kind", [MAC, SIGNING], ids=lambda kind: kind.spec)
def test_members_for_symmetric_keys_only(kms: Any, kind: Kind, members: Any) -> None:
    told = refusal(kms, external(kms, kind), own(kind.spec).material, **members)
    assert told == (
        "UnsupportedOperationException",
        "ImportType, KeyMaterialId and KeyMaterialDescription are for symmetric encryption keys only.",
    )


def test_rotation_of_imported_material(kms: Any) -> None:
    key, first, second, third = external(kms), *(os.urandom(32) for _ in range(3))
    key_id, arn = key["KeyId"], key["Arn"]
    one = put(kms, key, first)["KeyMaterialId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"1")["CiphertextBlob"]
    none = ("KMSInvalidStateException", f"No available key material pending rotation for the key: {arn}.")
    assert outcome(kms, "RotateKeyOnDemand", KeyId=key_id) == none
    two = put(kms, key, second, ImportType=NEW)["KeyMaterialId"]
    assert described(kms, key)["CurrentKeyMaterialId"] == one
    states = {entry["KeyMaterialId"]: entry["KeyMaterialState"] for entry in entries(kms, key)}
    assert states == {one: "CURRENT", two: "PENDING_ROTATION"}
    code, message = refusal(kms, key, third, ImportType=NEW)
    assert code == "KMSInvalidStateException"
    head, _, tail = message.partition(")")
    assert (head[:22], len(head)) == ("New key material (id: ", 22 + 64)
    assert tail == (
        f" cannot be imported into KMS key {arn}, because another key material (id: {two}) is pending rotation."
    )
    assert kms.encrypt(KeyId=key_id, Plaintext=b"x")
    assert call(kms, "RotateKeyOnDemand", KeyId=key_id) == {"KeyId": arn}
    assert described(kms, key)["CurrentKeyMaterialId"] == two
    assert outcome(kms, "RotateKeyOnDemand", KeyId=key_id) == none
    assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == one
    new = kms.encrypt(KeyId=key_id, Plaintext=b"2")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=new)["KeyMaterialId"] == two
    (rotation,) = kms.list_key_rotations(KeyId=key_id)["Rotations"]
    assert (rotation["KeyMaterialId"], rotation["RotationType"]) == (two, "ON_DEMAND")
    # Without any one of its materials the key waits, whichever it would need.
    assert call(kms, "DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=one) == {
        "KeyId": arn,
        "KeyMaterialId": one,
    }
    assert described(kms, key)["KeyState"] == "PendingImport"
    kms.delete_imported_key_material(KeyId=key_id)
    put(kms, key, first)
    assert described(kms, key)["KeyState"] == "PendingImport"
    put(kms, key, second)
    assert described(kms, key)["KeyState"] == "Enabled"
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"1"


def test_a_pending_material_that_goes_leaves_the_key_enabled(keyquorum: Server, dev: Any) -> None:
    key, first, second = external(dev), os.urandom(32), os.urandom(32)
    one = put(dev, key, first)["KeyMaterialId"]
    two = put(dev, key, second, ImportType=NEW)["KeyMaterialId"]
    dev.delete_imported_key_material(KeyId=key["KeyId"], KeyMaterialId=two)
    assert described(dev, key)["KeyState"] == "Enabled"
    assert [entry["KeyMaterialId"] for entry in entries(dev, key)] == [one]
    expiring = {"ExpirationModel": EXPIRES, "ValidTo": key["CreationDate"] + DAY}
    put(dev, key, second, ImportType=NEW, **expiring)
    assert "ValidTo" not in described(dev, key)  # what is pending does not count
    keyquorum.advance(2 * DAY)
    assert described(dev, key)["KeyState"] == "Enabled"
    assert outcome(dev, "RotateKeyOnDemand", KeyId=key["KeyId"])[0] == "KMSInvalidStateException"
    assert outcome(dev, "DeleteImportedKeyMaterial", KeyId=key["KeyId"], KeyMaterialId="0" * 64)[0] != ""


def test_the_earliest_date_is_the_keys(keyquorum: Server, dev: Any) -> None:
    key, first, second = external(dev), os.urandom(32), os.urandom(32)
    now = key["CreationDate"]
    put(dev, key, first, ExpirationModel=EXPIRES, ValidTo=now + 5 * DAY)
    put(dev, key, second, ImportType=NEW, ExpirationModel=EXPIRES, ValidTo=now + 3 * DAY)
    assert described(dev, key)["ValidTo"] == now + 5 * DAY
    dev.rotate_key_on_demand(KeyId=key["KeyId"])
    assert described(dev, key)["ValidTo"] == now + 3 * DAY
    assert [entry["ValidTo"] for entry in entries(dev, key)] == [now + 5 * DAY, now + 3 * DAY]
    keyquorum.advance(4 * DAY)
    assert described(dev, key)["KeyState"] == "PendingImport"
    assert [entry["ImportState"] for entry in entries(dev, key)] == ["IMPORTED", "PENDING_IMPORT"]


# -- in several Regions


def test_new_material_goes_through_the_primary_and_every_replica(keyquorum: Server, dev: Any) -> None:
    first, second = os.urandom(32), os.urandom(32)
    key = external(dev, MultiRegion=True)
    one = put(dev, key, first)["KeyMaterialId"]
    there = [keyquorum.client(region_name=region) for region in ("eu-west-1", "ap-south-1")]
    for region, client in zip(("eu-west-1", "ap-south-1"), there, strict=True):
        replica = dev.replicate_key(KeyId=key["KeyId"], ReplicaRegion=region)["ReplicaKeyMetadata"]
        assert (replica["KeyState"], replica["Enabled"]) == ("PendingImport", False)
        told = refusal(client, key, second)  # neither new, which is the primary's to have first, nor known
        assert told[0] in ("IncorrectKeyMaterialException", "UnsupportedOperationException")
        assert put(client, key, first)["KeyMaterialId"] == one
        assert described(client, key)["KeyState"] == "Enabled"
        assert refusal(client, key, second, ImportType=NEW)[0] == "UnsupportedOperationException"
        assert refusal(client, key, second, ImportType=EXISTING) == ("IncorrectKeyMaterialException", "")
    two = put(dev, key, second, ImportType=NEW)["KeyMaterialId"]
    state = {entry["KeyMaterialId"]: entry["KeyMaterialState"] for entry in entries(dev, key)}
    assert state == {one: "CURRENT", two: "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"}
    none = ("KMSInvalidStateException", f"No available key material pending rotation for the key: {key['Arn']}.")
    for client in there:
        assert outcome(dev, "RotateKeyOnDemand", KeyId=key["KeyId"]) == none
        assert put(client, key, second, ImportType=EXISTING)["KeyMaterialId"] == two
    for client in (dev, *there):
        assert entries(client, key)[-1]["KeyMaterialState"] == "PENDING_ROTATION"
        assert described(client, key)["CurrentKeyMaterialId"] == one
    dev.rotate_key_on_demand(KeyId=key["KeyId"])
    blob = dev.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    for client in there:
        assert described(client, key)["CurrentKeyMaterialId"] == two
        assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    # What one Region loses, the others keep.
    there[0].delete_imported_key_material(KeyId=key["KeyId"])
    assert described(there[0], key)["KeyState"] == "PendingImport"
    assert described(dev, key)["KeyState"] == described(there[1], key)["KeyState"] == "Enabled"


def test_a_replica_without_the_pending_material_keeps_the_rotation_waiting(keyquorum: Server, dev: Any) -> None:
    """A replica that comes later, or loses what it had imported, has to import it before the key can rotate."""
    first, second = os.urandom(32), os.urandom(32)
    key = external(dev, MultiRegion=True)
    put(dev, key, first)
    two = put(dev, key, second, ImportType=NEW)["KeyMaterialId"]
    dev.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1")
    there = keyquorum.client(region_name="eu-west-1")
    none = ("KMSInvalidStateException", f"No available key material pending rotation for the key: {key['Arn']}.")
    waiting = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
    assert entries(dev, key)[-1]["KeyMaterialState"] == waiting
    assert outcome(dev, "RotateKeyOnDemand", KeyId=key["KeyId"]) == none
    put(there, key, first)
    put(there, key, second)
    assert entries(dev, key)[-1]["KeyMaterialState"] == "PENDING_ROTATION"
    there.delete_imported_key_material(KeyId=key["KeyId"], KeyMaterialId=two)
    assert entries(dev, key)[-1]["KeyMaterialState"] == waiting
    assert outcome(dev, "RotateKeyOnDemand", KeyId=key["KeyId"]) == none
    put(there, key, second)
    dev.rotate_key_on_demand(KeyId=key["KeyId"])
    assert described(there, key)["CurrentKeyMaterialId"] == two


def test_a_replica_needs_every_material_of_its_primary(keyquorum: Server, dev: Any) -> None:
    first, second = os.urandom(32), os.urandom(32)
    key = external(dev, MultiRegion=True)
    put(dev, key, first)
    old = dev.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    put(dev, key, second, ImportType=NEW)
    dev.rotate_key_on_demand(KeyId=key["KeyId"])
    dev.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1")
    there = keyquorum.client(region_name="eu-west-1")
    put(there, key, second)
    assert described(there, key)["KeyState"] == "PendingImport"
    put(there, key, first)
    assert described(there, key)["KeyState"] == "Enabled"
    assert there.decrypt(CiphertextBlob=old)["Plaintext"] == b"x"


@pytest.mark.parametrize("kind", [MAC, SIGNING], ids=lambda kind: kind.spec)
def test_replicas_of_keys_that_do_not_rotate(keyquorum: Server, dev: Any, kind: Kind) -> None:
    """Such keys have no ImportType: a replica takes the material of its primary, and no other."""
    key, mine = external(dev, kind, MultiRegion=True), own(kind.spec)
    there = keyquorum.client(region_name="eu-west-1")
    put(dev, key, mine.material)
    dev.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1")
    assert described(there, key)["KeyState"] == "PendingImport"
    assert refusal(there, key, own(kind.spec).material) == ("IncorrectKeyMaterialException", "")
    put(there, key, mine.material)
    assert described(there, key)["KeyState"] == "Enabled"
