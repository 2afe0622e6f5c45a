# SPDX-License-Identifier: Apache-2.0
"""Backups and rotations of the keyring key by the program itself, beside servers that run; and the pages about them."""

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import console
import pytest
from servers import Production, environment, run

from keyquorum.cli import main

pytestmark = pytest.mark.slow

PAGES = Path(__file__).parents[2] / "docs" / "operate"
_PROGRAM = (sys.executable, "-m", "keyquorum")

Start = Callable[..., Production]


def attempt(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run((*_PROGRAM, *arguments), env=environment(), capture_output=True, text=True, timeout=60)


def restored(server: Production, directory: Path, backup: Path) -> Production:
    """A server on what was restored, in a directory of its own."""
    data = directory / "data"
    data.mkdir(mode=0o700, parents=True)
    shutil.copy2(server.data / "seal.key", data)
    run("restore", "--data", str(data), str(backup))
    return Production(directory)


def keys_of_each_kind(kms: Any) -> tuple[str, bytes, bytes]:
    """A key's ID, a ciphertext under its first and one under its second material."""
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    first = kms.encrypt(KeyId=key_id, Plaintext=b"one")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key_id)
    return key_id, first, kms.encrypt(KeyId=key_id, Plaintext=b"two")["CiphertextBlob"]


def test_a_server_on_what_was_restored_knows_its_callers_and_opens_their_ciphertexts(
    start: Start, tmp_path: Path
) -> None:
    server = start()
    kms, iam = server.client(), server.client("iam")
    _, first, second = keys_of_each_kind(kms)
    iam.create_user(UserName="alice")
    backup = tmp_path / "backup"
    shown = run("backup", "--data", str(server.data), str(backup)).stdout
    assert "3 keys" not in shown
    kms.create_key()  # after the snapshot
    again = restored(server, tmp_path / "restored", backup)
    try:
        # The same access key: the root's.
        kms = again.client(access=server.root)
        assert kms.decrypt(CiphertextBlob=first)["Plaintext"] == b"one"
        assert kms.decrypt(CiphertextBlob=second)["Plaintext"] == b"two"
        assert len(kms.list_keys()["Keys"]) == 1
        users = again.client("iam", access=server.root).list_users()["Users"]
        assert [user["UserName"] for user in users] == ["alice"]
        run("audit", "verify", "--data", str(again.data))
    finally:
        again.stop()


def test_a_session_and_an_import_go_on_after_a_rotation_of_the_keyring_key(start: Start, tmp_path: Path) -> None:
    """In a server with two processes, while another program rotates."""
    server = start("--workers", "2")
    kms = server.client()
    key_id, first, second = keys_of_each_kind(kms)
    session = server.client("sts").get_session_token()["Credentials"]
    imported = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    parameters = kms.get_parameters_for_import(
        KeyId=imported, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    for version in (2, 3):
        shown = run("keyring", "rotate", "--data", str(server.data)).stdout
        assert f"Everything is under keyring key {version}." in shown
        for _ in range(8):  # both processes
            assert kms.decrypt(CiphertextBlob=first)["Plaintext"] == b"one"
            assert kms.decrypt(CiphertextBlob=second)["Plaintext"] == b"two"
            fresh = server.client()
            made = fresh.create_key()["KeyMetadata"]["KeyId"]
            blob = fresh.encrypt(KeyId=made, Plaintext=b"three")["CiphertextBlob"]
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"three"
    caller = server.client(
        "sts",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    assert caller.get_caller_identity()["Account"]
    kms.import_key_material(
        KeyId=imported,
        ImportToken=parameters["ImportToken"],
        EncryptedKeyMaterial=_wrapped(parameters["PublicKey"], b"k" * 32),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    assert kms.encrypt(KeyId=imported, Plaintext=b"x")["CiphertextBlob"]
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
    run("audit", "verify", "--data", str(server.data))


def _wrapped(public_key: bytes, material: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(public_key)
    assert isinstance(key, RSAPublicKey)
    return key.encrypt(material, OAEP(MGF1(SHA256()), SHA256(), None))


def test_refusals_end_with_2_and_a_sentence(start: Start, tmp_path: Path) -> None:
    server = start()
    backup, data = tmp_path / "backup", tmp_path / "nothing"
    run("backup", "create", "--data", str(server.data), str(backup))
    again = attempt("backup", "--data", str(server.data), str(backup))
    assert (again.returncode, again.stderr) == (2, f"keyquorum: {backup} is there already\n")
    no_seal = attempt("restore", "--data", str(data), str(backup))
    assert no_seal.returncode == 2
    assert no_seal.stderr.startswith("keyquorum: ")
    occupied = attempt("restore", "--data", str(server.data), str(backup))
    assert occupied.returncode == 2
    assert "empty data directory only" in occupied.stderr
    backup.write_bytes(backup.read_bytes()[:-1])
    cut = attempt("backup", "verify", "--data", str(server.data), str(backup))
    assert (cut.returncode, "damaged" in cut.stderr) == (2, True)
    assert "Traceback" not in again.stderr + no_seal.stderr + occupied.stderr + cut.stderr


def test_a_backup_is_its_owners_alone(start: Start, tmp_path: Path) -> None:
    server = start()
    backup = tmp_path / "backup"
    run("backup", "--data", str(server.data), str(backup))
    assert backup.stat().st_mode & 0o777 == 0o600
    material = base64.b64encode(backup.read_bytes())
    assert server.root.key_id.encode() not in material


def test_both_names_of_each_command() -> None:
    assert set(main.commands) >= {"backup", "restore", "keyring"}
    assert "create FILE" in run("backup", "--help").stdout
    assert "--passphrase" in run("backup", "restore", "--help").stdout


@pytest.mark.parametrize("name", ["backup.md", "keyring.md"])
def test_the_commands_do_what_the_page_shows(start: Start, tmp_path: Path, name: str) -> None:
    page = (PAGES / name).read_text(encoding="utf-8")
    server = start()
    server.client().create_key()
    directory = tmp_path / "shell"
    directory.mkdir()
    console.hold(page, directory, {**environment(), "KEYQUORUM_DATA": str(server.data)})
