# SPDX-License-Identifier: Apache-2.0
"""After a rotation of the keyring key everything is under the new one, whoever was interrupted; the old one goes."""

import base64
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from audit_lines import written
from direct import Direct, development

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.errors import DependencyTimeoutException, IntegrityError
from keyquorum.ops.keyring_keys import KEPT_SECONDS
from keyquorum.store import roots, schema

SPECS = ("SYMMETRIC_DEFAULT", "HMAC_256", "ECC_NIST_P256", "ECC_SECG_P256K1")
USAGES = {"HMAC_256": "GENERATE_VERIFY_MAC", "SYMMETRIC_DEFAULT": "ENCRYPT_DECRYPT"}
HOUR = 3600.0


def start(data: Path) -> Direct:
    return Direct(Service(Settings(data=data, development=True)))


def encrypted(kms: Direct, key_id: str) -> str:
    return str(kms("Encrypt", KeyId=key_id, Plaintext=b"attack at dawn").body["CiphertextBlob"])


def opens(kms: Direct, ciphertext: str) -> bool:
    answer = kms("Decrypt", CiphertextBlob=base64.b64decode(ciphertext))
    return answer.code is None and base64.b64decode(answer.body["Plaintext"]) == b"attack at dawn"


def versions(service: Service) -> set[int]:
    """The keyring keys that anything is under."""
    found: set[int] = set()
    with service.database.read() as connection:
        for table in (schema.key_materials, schema.access_keys):
            found |= set(connection.execute(sa.select(table.c.keyring_version)).scalars())
    return found


def known(service: Service) -> list[int]:
    with service.database.read() as connection:
        return [key.version for key in roots.known_keyring_keys(connection)]


def wrapped(service: Service) -> list[bytes]:
    with service.database.read() as connection:
        return list(connection.execute(sa.select(schema.wrapped_materials.c.wrapped)).scalars())


def test_everything_is_under_the_new_key_and_works(tmp_path: Path) -> None:
    kms = start(tmp_path)
    keys = [kms.key(KeySpec=spec, KeyUsage=USAGES.get(spec, "SIGN_VERIFY")) for spec in SPECS]
    ciphertext = encrypted(kms, keys[0])
    kms("RotateKeyOnDemand", KeyId=keys[0])
    before = wrapped(kms.service)
    assert kms.service.rewrapping.rotate() == 2
    done: list[int] = []
    assert kms.service.rewrapping.run(done.append) == 0
    assert sum(done) == len(before) + 1  # and the root's access key
    assert versions(kms.service) == {2}
    assert not set(before) & set(wrapped(kms.service))
    assert list(map(len, before)) == list(map(len, wrapped(kms.service)))
    kms.service.close()
    kms = start(tmp_path)
    assert opens(kms, ciphertext)
    assert opens(kms, encrypted(kms, keys[0]))
    assert kms("GenerateMac", KeyId=keys[1], Message=b"m", MacAlgorithm="HMAC_SHA_256").code is None
    for key_id in keys[2:]:
        assert kms("Sign", KeyId=key_id, Message=b"m", SigningAlgorithm="ECDSA_SHA_256").code is None
    kms.service.close()
    told = [r for r in written(tmp_path / "audit") if r["eventName"].endswith("KeyringKey")]
    assert [(r["eventName"], r["serviceEventDetails"]["keyringVersion"]) for r in told] == [
        ("RotateKeyringKey", 2),
        ("RetireKeyringKey", 1),
    ]


def test_no_file_holds_what_was_wrapped_before(tmp_path: Path) -> None:
    kms = start(tmp_path)
    for _ in range(20):
        kms.key()
    before = wrapped(kms.service)
    kms.service.rewrapping.rotate()
    kms.service.run_jobs()
    assert versions(kms.service) == {2}
    left = b"".join(path.read_bytes() for path in tmp_path.glob("keyquorum.db*"))
    assert [form for form in before if form in left] == []
    assert all(form in left for form in wrapped(kms.service))
    kms.service.close()


def test_a_process_that_died_after_any_batch_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    kms = start(tmp_path)
    ciphertexts = [encrypted(kms, kms.key()) for _ in range(120)]
    kms.service.rewrapping.rotate()
    steps = 0
    while kms.service.rewrapping.step() is not None:
        steps += 1
        kms.service.database.close()  # and nothing else is tidied
        kms = start(tmp_path)
        assert kms.service.rewrapping.rotate() == 2  # it goes on, rather than begin another
    assert steps >= 4
    assert versions(kms.service) == {2}
    assert all(opens(kms, ciphertext) for ciphertext in ciphertexts)
    kms.service.close()


def test_another_process_learns_of_the_new_key_at_once(tmp_path: Path) -> None:
    one, other = start(tmp_path), start(tmp_path)
    key_id = one.key()
    ciphertext = encrypted(other, key_id)
    token = other("GetParametersForImport", KeyId=one.key(Origin="EXTERNAL"), WrappingAlgorithm="RSAES_OAEP_SHA_256",
                  WrappingKeySpec="RSA_2048")  # fmt: skip
    assert token.code is None
    one.service.rewrapping.rotate()
    made = other.key()
    one.service.rewrapping.run(lambda _: None)
    assert versions(one.service) == {2}
    assert opens(other, ciphertext)
    assert opens(one, encrypted(other, made))
    assert other.service.keyring.open_token("import token", base64.b64decode(token.body["ImportToken"])) is not None
    for kms in (one, other):
        kms.service.close()


def test_the_old_key_is_destroyed_when_what_was_given_out_has_expired() -> None:
    with development() as kms:
        key_id, service = kms.key(), kms.service
        ciphertext = encrypted(kms, key_id)
        token = service.keyring.seal_token("session token", b"x")
        service.rewrapping.rotate()
        kms.advance(0)
        assert known(service) == [1, 2]
        kms.advance(KEPT_SECONDS - HOUR)
        assert known(service) == [1, 2]
        assert service.keyring.open_token("session token", token) == b"x"
        kms.advance(HOUR + 1)
        assert known(service) == [2]
        assert service.keyring.open_token("session token", token) is None
        assert opens(kms, ciphertext)


def test_a_key_that_something_is_under_is_neither_retired_nor_destroyed(tmp_path: Path) -> None:
    """A row that was tampered with stays where it is, the others are re-wrapped, and its keyring key is kept."""
    kms = start(tmp_path)
    good, bad = kms.key(), kms.key()
    ciphertext = encrypted(kms, good)
    with kms.service.database.write() as txn:
        row = schema.key_materials.c.key_id == bad
        txn.connection.execute(sa.update(schema.key_materials).where(row).values(description="another"))
    kms.service.rewrapping.rotate()
    assert kms.service.rewrapping.run(lambda _: None) == 1
    kms.service.clock.offset += 100 * HOUR
    kms.service.run_jobs()
    assert known(kms.service) == [1, 2]
    assert versions(kms.service) == {1, 2}
    assert opens(kms, ciphertext)
    kms.service.close()


def test_nothing_is_added_under_a_key_that_is_being_replaced(tmp_path: Path) -> None:
    """A process that does not know of the new one yet is refused, and can try again."""
    kms = start(tmp_path)
    stale = kms.service.keyring.wrap_material("key", "us-east-1", b"m" * 32, 1.0)
    kms.service.rewrapping.rotate()
    with pytest.raises(DependencyTimeoutException), kms.service.database.write() as txn:
        kms.service.store.keys.materials.insert(txn, stale)
    kms.service.close()


def test_a_server_does_not_go_back_to_an_older_key(tmp_path: Path) -> None:
    """Whoever has an old keyring key, and can write to the database, gets nothing wrapped under it by removing rows."""
    kms = start(tmp_path)
    kms.service.rewrapping.rotate()
    with kms.service.database.write() as txn:
        txn.touch(roots.KEYRING)
        txn.connection.execute(sa.delete(schema.keyring_keys).where(schema.keyring_keys.c.keyring_version == 2))
    kms.service.keyring.follow()
    assert kms.service.keyring.version == 2
    kms.service.close()


def test_a_keyring_key_of_another_root_key_is_refused(tmp_path: Path) -> None:
    kms = start(tmp_path)
    row: dict[str, Any] = {"keyring_version": 2, "wrapped": bytes(72), "created_at": 1.0}
    with kms.service.database.write() as txn:
        txn.touch(roots.KEYRING)
        txn.connection.execute(sa.insert(schema.keyring_keys).values(row))
    with pytest.raises(IntegrityError, match="keyring key 2"):
        kms.service.keyring.follow()
    kms.service.close()
