# SPDX-License-Identifier: Apache-2.0
"""What must not be found where others may look; and starts that must be refused."""

import base64
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Production, RefusedToStart, behind_its_back, code_of, run, signed_request
from stores import lend

pytestmark = pytest.mark.slow

Start = Callable[..., Production]


def forms(secret: bytes) -> dict[str, bytes]:
    """A secret as it would be found: raw, in base64 at each of the three alignments, and in hexadecimal."""
    found = {"raw": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + secret)
        found[f"base64+{shift}"] = whole[4 * bool(shift) : len(whole) - 4]
    return found


def contents(*paths: Path) -> dict[Path, bytes]:
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file()]
    return {file: file.read_bytes() for file in files}


def findings(where: dict[Path, bytes], named: dict[str, bytes]) -> list[tuple[str, str, str]]:
    return [
        (name, form, file.name)
        for name, secret in named.items()
        for form, text in forms(secret).items()
        for file, content in where.items()
        if text in content
    ]


def test_nothing_secret_is_written_anywhere(start: Start) -> None:
    server = start()
    kms = server.client()
    plaintext = b"plaintext-" + secrets.token_hex(20).encode()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key_id, Plaintext=plaintext, EncryptionContext={"table": "orders"})["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"table": "orders"})
    code_of(kms.decrypt, CiphertextBlob=sealed)
    data_key = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["Plaintext"]
    kms.encrypt(KeyId=key_id, Plaintext=data_key)
    drawn = kms.generate_random(NumberOfBytes=32)["Plaintext"]
    code_of(kms.encrypt, KeyId="alias/none", Plaintext=plaintext)
    # Requests that fail in each stage, with the plaintext and the secret in them.
    encoded = base64.b64encode(plaintext).decode()
    for body in (
        json.dumps({"KeyId": key_id, "Plaintext": plaintext.decode()}),
        json.dumps({"KeyId": 1, "Plaintext": encoded}),
        json.dumps({"KeyId": key_id, "Plaintext": encoded, "EncryptionAlgorithm": "NONE"}),
        '{"KeyId":"x","Plaintext":"' + encoded,
    ):
        assert server.raw(signed_request(server.url, server.root, "Encrypt", body.encode())).status == 400
    # A fault of the server's own, whose stack trace goes to the log.
    with behind_its_back(server.database) as other:
        other.execute("UPDATE key_materials SET mac = zeroblob(32)")
        other.execute("UPDATE keys SET version = version")
    kms.update_key_description(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Description="")
    code_of(kms.disable_key, KeyId=key_id)
    server.stop()

    secret = server.root.secret.encode()
    where = contents(server.data, server.stdout, server.stderr)
    named = {"plaintext": plaintext, "data key": data_key, "random": drawn, "secret access key": secret}
    assert findings(where, named) == [("secret access key", "raw", "stdout")]
    assert where[server.stdout].count(secret) == 1
    # The search would have found them: what may be there, is.
    audit = b"".join(content for file, content in where.items() if file.suffix == ".jsonl")
    assert audit.count(b'"eventName":"Encrypt"') == 7
    assert b'"encryptionContext":{"table":"orders"}' in audit
    assert b"Signature" not in audit


def test_the_secret_is_printed_once(start: Start) -> None:
    first = start()
    first.stop()
    second = start()
    assert second.root == first.root
    assert second.stdout.read_text().count(first.root.secret) == 1
    assert set(second.env) >= {
        "AWS_ENDPOINT_URL_KMS",
        "AWS_ENDPOINT_URL_STS",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    }


def test_only_the_owner_can_read_the_data_directory(start: Start) -> None:
    server = start()
    server.client().create_key()
    assert server.data.stat().st_mode & 0o777 == 0o700
    for path in server.data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


# -- starts that are refused, with a word and no stack trace


@pytest.fixture
def stopped(start: Start) -> Production:
    server = start()
    server.client().create_key(Description="kept")
    server.stop()
    return server


def refusal(server: Production) -> str:
    server.stderr.write_text("")
    with pytest.raises(RefusedToStart) as caught:
        server.again()
    message = str(caught.value)
    assert message.startswith("keyquorum: ")
    assert "Traceback" not in message
    return message


def starts(server: Production) -> bool:
    again = server.again()
    descriptions = [
        again.client().describe_key(KeyId=entry["KeyId"])["KeyMetadata"]["Description"]
        for entry in again.client().list_keys()["Keys"]
    ]
    again.stop()
    return descriptions == ["kept"]


def test_another_seal_key(stopped: Production) -> None:
    seal = stopped.data / "seal.key"
    right = seal.read_bytes()
    seal.write_bytes(secrets.token_bytes(32))
    assert "the seal key does not open the root key of this data directory" in refusal(stopped)
    with pytest.raises(Exception, match="exit status 2"):
        run("env", "--data", str(stopped.data))
    seal.write_bytes(right)
    assert starts(stopped)


def test_a_seal_key_that_is_absent_is_not_made_anew(stopped: Production) -> None:
    seal = stopped.data / "seal.key"
    right = seal.read_bytes()
    seal.unlink()
    assert "cannot be read" in refusal(stopped)
    assert not seal.exists()
    seal.write_bytes(right)
    seal.chmod(0o600)
    assert starts(stopped)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_seal_key_that_others_can_reach(stopped: Production, mode: int) -> None:
    seal = stopped.data / "seal.key"
    seal.chmod(mode)
    assert "seal.key is open to others" in refusal(stopped)
    seal.chmod(0o600)
    assert starts(stopped)


@pytest.mark.parametrize("size", [0, 16, 33])
def test_a_seal_key_of_another_size(stopped: Production, size: int) -> None:
    (stopped.data / "seal.key").write_bytes(bytes(size))
    assert "does not hold a 256-bit key" in refusal(stopped)


def test_a_newer_database(stopped: Production) -> None:
    with behind_its_back(stopped.database) as other:
        (right,) = other.execute("SELECT version_num FROM alembic_version").fetchone()
        other.execute("UPDATE alembic_version SET version_num = '9999'")
        other.execute("UPDATE schema_compatibility SET oldest = '9999'")
    message = refusal(stopped)
    assert "9999" in message
    assert "a newer version wrote it" in message
    with behind_its_back(stopped.database) as other:
        other.execute("UPDATE alembic_version SET version_num = ?", (right,))
        other.execute("UPDATE schema_compatibility SET oldest = ?", (right,))
    assert starts(stopped)


@pytest.mark.sqlite
def test_a_database_that_is_none(stopped: Production) -> None:
    stopped.database.write_bytes(b"this is no database, whatever its name says" * 100)
    assert "database" in refusal(stopped)


def test_a_stolen_database_is_useless_without_its_seal(stopped: Production, tmp_path: Path) -> None:
    """The thief has everything but seal.key, and brings a seal of his own."""
    loot = tmp_path / "loot"
    loot.mkdir()
    shutil.copytree(stopped.data, loot / "data")
    lend(stopped.data, loot / "data")
    (loot / "data" / "seal.key").write_bytes(os.urandom(32))
    with pytest.raises(RefusedToStart, match="does not open the root key"):
        Production(loot)
