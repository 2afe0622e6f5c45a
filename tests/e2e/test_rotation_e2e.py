# SPDX-License-Identifier: Apache-2.0
"""Rotation with the clock: by date and on demand, what it tells, and what old ciphertexts become."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.config import Config
from matrix import call, outcome
from servers import ACCOUNT, REGION, Access, Production, Program, client, refused

from keyquorum.testing import Server

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def kms(keyquorum: Server) -> Any:
    """A client of a server with a clock."""
    return keyquorum.client()


@pytest.fixture
def key(kms: Any) -> Any:
    return kms.create_key()["KeyMetadata"]


def rotations(kms: Any, key: Any, **arguments: Any) -> list[dict[str, Any]]:
    answer = call(kms, "ListKeyRotations", KeyId=key["KeyId"], **arguments)
    assert answer["Truncated"] is ("NextMarker" in answer)
    found: list[dict[str, Any]] = answer["Rotations"]
    return found


def current(kms: Any, key: Any) -> str:
    return str(kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["CurrentKeyMaterialId"])


def near(one: Any, other: Any) -> bool:
    return bool(abs(one - other) < MINUTE)


# -- what the status tells


def test_status_before_during_and_after(keyquorum: Server, kms: Any, key: Any) -> None:
    off = {"KeyId": key["Arn"], "KeyRotationEnabled": False}
    assert call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"]) == off
    assert call(kms, "EnableKeyRotation", KeyId=key["KeyId"]) == {}
    status = call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"])
    next_date = status.pop("NextRotationDate")
    on = {"KeyId": key["Arn"], "KeyRotationEnabled": True, "RotationPeriodInDays": 365}
    assert status == on
    assert near(next_date, key["CreationDate"] + 365 * DAY)
    kms.disable_key(KeyId=key["KeyId"])
    assert call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"]) == {**on, "NextRotationDate": next_date}
    kms.enable_key(KeyId=key["KeyId"])
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    assert call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"]) == off
    kms.cancel_key_deletion(KeyId=key["KeyId"])
    assert call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"]) == {**on, "NextRotationDate": next_date}
    kms.enable_key(KeyId=key["KeyId"])
    assert call(kms, "DisableKeyRotation", KeyId=key["KeyId"]) == {}
    assert call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"]) == off
    keyquorum.advance(400 * DAY)
    assert rotations(kms, key) == []


def test_the_period_is_counted_from_the_day_it_is_set(keyquorum: Server, kms: Any, key: Any) -> None:
    for period in (90, 2560):
        kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=period)
        status = kms.get_key_rotation_status(KeyId=key["KeyId"])
        assert status["RotationPeriodInDays"] == period
        assert near(status["NextRotationDate"], key["CreationDate"] + period * DAY)
    keyquorum.advance(10 * DAY)
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=100)
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert near(status["NextRotationDate"], key["CreationDate"] + 110 * DAY)
    unchecked = keyquorum.client(config=Config(parameter_validation=False))
    for period, bound in ((89, "greater than or equal to 90"), (2561, "less than or equal to 2560")):
        with refused(
            "ValidationException",
            f"1 validation error detected: Value '{period}' at 'rotationPeriodInDays' failed to satisfy constraint: "
            f"Member must have value {bound}",
        ):
            unchecked.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=period)


# -- by date


def test_a_year_of_automatic_rotations(keyquorum: Server, kms: Any, key: Any) -> None:
    key_id = key["KeyId"]
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    blobs = {key["CurrentKeyMaterialId"]: kms.encrypt(KeyId=key_id, Plaintext=b"0")["CiphertextBlob"]}
    for number in range(1, 5):
        keyquorum.advance(89 * DAY)
        assert len(rotations(kms, key)) == number - 1
        keyquorum.advance(1 * DAY)
        assert len(rotations(kms, key)) == number
        blob = kms.encrypt(KeyId=key_id, Plaintext=str(number).encode())["CiphertextBlob"]
        blobs[current(kms, key)] = blob
        next_date = kms.get_key_rotation_status(KeyId=key_id)["NextRotationDate"]
        assert near(next_date, key["CreationDate"] + 90 * (number + 1) * DAY)
    assert len(blobs) == 5
    for number, (material_id, blob) in enumerate(blobs.items()):
        decrypted = kms.decrypt(CiphertextBlob=blob)
        assert (decrypted["Plaintext"], decrypted["KeyMaterialId"]) == (str(number).encode(), material_id)
    newest = list(blobs)[-1]
    found = rotations(kms, key)
    assert [entry["KeyMaterialId"] for entry in found] == list(blobs)[1:]
    for number, entry in enumerate(found, 1):
        date = entry.pop("RotationDate")
        assert near(date, key["CreationDate"] + 90 * number * DAY)
        assert entry == {
            "KeyId": key["Arn"],
            "KeyMaterialId": list(blobs)[number],
            "KeyMaterialState": "CURRENT" if entry["KeyMaterialId"] == newest else "NON_CURRENT",
            "RotationType": "AUTOMATIC",
        }
    first, *others = rotations(kms, key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    assert first == {
        "KeyId": key["Arn"],
        "KeyMaterialId": key["CurrentKeyMaterialId"],
        "KeyMaterialState": "NON_CURRENT",
    }
    assert [entry["KeyMaterialId"] for entry in others] == list(blobs)[1:]
    assert kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ROTATIONS_ONLY")["Rotations"] == rotations(kms, key)


def test_a_year_at_once_is_as_many_rotations(keyquorum: Server, kms: Any, key: Any) -> None:
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    keyquorum.advance(365 * DAY)
    dates = [entry["RotationDate"] for entry in rotations(kms, key)]
    assert len(dates) == 4
    assert all(near(date, key["CreationDate"] + 90 * n * DAY) for n, date in enumerate(dates, 1))


def test_answers_tell_the_material_that_was_used_and_re_encryption_moves_to_the_newest(
    keyquorum: Server, kms: Any, key: Any
) -> None:
    key_id, old = key["KeyId"], key["CurrentKeyMaterialId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    keyquorum.advance(91 * DAY)
    new = current(kms, key)
    assert new != old
    for generate, size in (
        (kms.generate_data_key, {"KeySpec": "AES_256"}),
        (kms.generate_data_key_without_plaintext, {"NumberOfBytes": 1}),
        (kms.generate_data_key_pair, {"KeyPairSpec": "ECC_NIST_P256"}),
        (kms.generate_data_key_pair_without_plaintext, {"KeyPairSpec": "ECC_NIST_P256"}),
    ):
        assert generate(KeyId=key_id, **size)["KeyMaterialId"] == new
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=key_id,
        DestinationEncryptionContext={"a": "b"},
    )
    assert (moved["SourceKeyMaterialId"], moved["DestinationKeyMaterialId"]) == (old, new)
    for ciphertext, material_id in ((blob, old), (moved["CiphertextBlob"], new)):
        decrypted = kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext={"a": "b"})
        assert (decrypted["Plaintext"], decrypted["KeyMaterialId"]) == (b"x", material_id)
        assert outcome(kms, "Decrypt", CiphertextBlob=ciphertext)[0] == "InvalidCiphertextException"


def test_a_disabled_key_is_rotated_when_it_is_enabled_and_overdue(keyquorum: Server, kms: Any, key: Any) -> None:
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    kms.disable_key(KeyId=key["KeyId"])
    keyquorum.advance(200 * DAY)
    assert rotations(kms, key) == []
    kms.enable_key(KeyId=key["KeyId"])
    keyquorum.advance(timedelta())
    (entry,) = rotations(kms, key)
    assert near(entry["RotationDate"], key["CreationDate"] + 200 * DAY)
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert near(status["NextRotationDate"], key["CreationDate"] + 290 * DAY)


def test_a_disabled_key_that_is_not_overdue_keeps_its_date(keyquorum: Server, kms: Any, key: Any) -> None:
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    kms.disable_key(KeyId=key["KeyId"])
    keyquorum.advance(50 * DAY)
    kms.enable_key(KeyId=key["KeyId"])
    keyquorum.advance(timedelta())
    assert rotations(kms, key) == []
    keyquorum.advance(40 * DAY)
    assert len(rotations(kms, key)) == 1


def test_a_key_that_waits_for_its_deletion_is_not_rotated(keyquorum: Server, kms: Any, key: Any) -> None:
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    keyquorum.advance(70 * DAY)
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=30)
    keyquorum.advance(29 * DAY)
    kms.cancel_key_deletion(KeyId=key["KeyId"])
    assert outcome(kms, "ListKeyRotations", KeyId=key["KeyId"]) == ("", "")
    assert rotations(kms, key) == []
    kms.enable_key(KeyId=key["KeyId"])
    keyquorum.advance(timedelta())
    assert len(rotations(kms, key)) == 1


# -- on demand


@pytest.mark.slow
def test_rotations_on_demand_up_to_the_limit_and_beyond(keyquorum: Server, kms: Any, key: Any) -> None:
    key_id = key["KeyId"]
    kms.enable_key_rotation(KeyId=key_id)
    before = kms.get_key_rotation_status(KeyId=key_id)
    del before["ResponseMetadata"]
    blobs = []
    for number in range(25):
        blobs.append(kms.encrypt(KeyId=key_id, Plaintext=str(number).encode())["CiphertextBlob"])
        assert call(kms, "RotateKeyOnDemand", KeyId=key_id) == {"KeyId": key["Arn"]}
        keyquorum.advance(timedelta(seconds=1))
    with refused(
        "LimitExceededException",
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be "
        f"performed for this key: {key['Arn']}",
    ):
        kms.rotate_key_on_demand(KeyId=key_id)
    found = rotations(kms, key)
    assert (len(found), {entry["RotationType"] for entry in found}) == (25, {"ON_DEMAND"})
    assert [entry["KeyMaterialState"] for entry in found] == ["NON_CURRENT"] * 24 + ["CURRENT"]
    assert found[-1]["KeyMaterialId"] == current(kms, key)
    for number, blob in enumerate(blobs):
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == str(number).encode()
    # A rotation on demand moves no date, and the limit is not one of rotations by date.
    assert call(kms, "GetKeyRotationStatus", KeyId=key_id) == before
    keyquorum.advance(366 * DAY)
    assert rotations(kms, key)[-1]["RotationType"] == "AUTOMATIC"
    assert len(rotations(kms, key)) == 26


def test_lists_page_one_by_one(kms: Any, key: Any) -> None:
    for _ in range(3):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])
    for arguments in ({}, {"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}):
        whole = rotations(kms, key, **arguments)
        assert len(whole) == (4 if arguments else 3)
        paged: list[Any] = []
        marker: dict[str, str] = {}
        for _ in whole:
            page = call(kms, "ListKeyRotations", KeyId=key["KeyId"], Limit=1, **marker, **arguments)
            assert len(page["Rotations"]) == 1
            paged += page["Rotations"]
            marker = {"Marker": page["NextMarker"]} if page["Truncated"] else {}
        assert (paged, marker) == (whole, {})
    first = kms.list_key_rotations(KeyId=key["KeyId"], Limit=1)["NextMarker"]
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    for arguments in (
        {"KeyId": other, "Marker": first},
        {"KeyId": key["KeyId"], "Marker": first, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"},
        {"KeyId": key["KeyId"], "Marker": first[:-1]},
        {"KeyId": key["KeyId"], "Marker": "marker"},
    ):
        assert outcome(kms, "ListKeyRotations", **arguments)[0] == "InvalidMarkerException"


# -- keys and states that it is not for

ALL = ("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus", "RotateKeyOnDemand", "ListKeyRotations")


def test_states_that_refuse(kms: Any, key: Any) -> None:
    key_id, arn = key["KeyId"], key["Arn"]
    changing = ("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand")
    kms.disable_key(KeyId=key_id)
    for operation in changing:
        assert outcome(kms, operation, KeyId=key_id) == ("DisabledException", f"{arn} is disabled."), operation
    kms.schedule_key_deletion(KeyId=key_id)
    for operation in changing:
        told = ("KMSInvalidStateException", f"{arn} is pending deletion.")
        assert outcome(kms, operation, KeyId=key_id) == told, operation


def test_keys_that_there_are_not(kms: Any, key: Any) -> None:
    kms.create_alias(AliasName="alias/it", TargetKeyId=key["KeyId"])
    absent = "0000abcd-12ab-34cd-56ef-1234567890ab"
    for operation in ALL:
        arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{absent}"
        assert outcome(kms, operation, KeyId=absent) == ("NotFoundException", f"Key '{arn}' does not exist")
        code, message = outcome(kms, operation, KeyId="alias/it")
        assert code in ("InvalidArnException", "NotFoundException"), operation
        assert message == "Key Aliases are not supported for this operation."


def test_keys_without_material_of_their_own(kms: Any) -> None:
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    key_id, arn = key["KeyId"], key["Arn"]
    origin = ("UnsupportedOperationException", f"{arn} origin is EXTERNAL which is not valid for this operation.")
    assert outcome(kms, "EnableKeyRotation", KeyId=key_id) == origin
    assert outcome(kms, "DisableKeyRotation", KeyId=key_id) == origin
    pending = ("KMSInvalidStateException", f"{arn} is pending import.")
    assert outcome(kms, "RotateKeyOnDemand", KeyId=key_id) == pending
    other = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")["KeyMetadata"]
    told = ("KMSInvalidStateException", f"{other['Arn']} is pending import.")  # its state before its kind
    assert outcome(kms, "RotateKeyOnDemand", KeyId=other["KeyId"]) == told


@pytest.mark.slow
def test_rotations_outlive_the_process(start: Callable[..., Production]) -> None:
    server = start()
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=100)
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    told = (
        rotations(kms, key, IncludeKeyMaterial="ALL_KEY_MATERIAL"),
        call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"]),
    )
    server.stop()
    kms = start().client()
    assert told == (
        rotations(kms, key, IncludeKeyMaterial="ALL_KEY_MATERIAL"),
        call(kms, "GetKeyRotationStatus", KeyId=key["KeyId"]),
    )
    assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == key["CurrentKeyMaterialId"]


def test_the_limit_is_the_operators(start_dev: Callable[..., Program]) -> None:
    kms = client(start_dev("--quota", "on_demand_rotations_per_key=1").url, "kms", Access("test", "test"))
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.rotate_key_on_demand(KeyId=key_id)
    assert outcome(kms, "RotateKeyOnDemand", KeyId=key_id)[0] == "LimitExceededException"
