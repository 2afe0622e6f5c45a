# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin, used as its users use it."""

import json
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyquorum.testing import Server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plugin")]


def exists(kms: Any, key_id: str) -> bool:
    try:
        kms.describe_key(KeyId=key_id)
    except kms.exceptions.NotFoundException:
        return False
    return True


def test_a_client_works_at_once(keyquorum: Server) -> None:
    kms = keyquorum.client("kms")
    key_id = kms.create_key(Description="d")["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"x"
    assert keyquorum.client("sts").get_caller_identity()["Account"] == "111122223333"


def test_time_passes_and_what_is_due_has_happened(keyquorum: Server) -> None:
    kms = keyquorum.client()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    keyquorum.advance(timedelta(days=6))
    assert exists(kms, key_id)
    keyquorum.advance(timedelta(days=1, milliseconds=1))
    assert not exists(kms, key_id)


def test_a_signature_is_verified_by_the_machines_clock_however_far_the_servers_is(keyquorum: Server) -> None:
    keyquorum.advance(timedelta(days=365))
    kms = keyquorum.client()
    made = kms.create_key()["KeyMetadata"]
    assert made["CreationDate"].timestamp() > 0
    assert exists(kms, made["KeyId"])


def test_each_test_finds_it_empty(keyquorum: Server) -> None:
    kms = keyquorum.client()
    assert kms.list_keys()["Keys"] == []
    kms.create_key()
    keyquorum.reset()
    assert kms.list_keys()["Keys"] == []


def test_the_endpoint_takes_a_plain_request(keyquorum: Server) -> None:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeys"}
    request = urllib.request.Request(keyquorum.endpoint_url, b"{}", headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer) == {"Keys": [], "Truncated": False}


def test_a_client_of_another_region_and_with_other_credentials(keyquorum: Server) -> None:
    other = keyquorum.client("kms", region_name="eu-west-1", aws_access_key_id="me", aws_secret_access_key="me")
    arn = other.create_key()["KeyMetadata"]["Arn"]
    assert arn.startswith("arn:aws:kms:eu-west-1:")
    assert keyquorum.client().list_keys()["Keys"] == []


def test_a_clock_that_cannot_go_back(keyquorum: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        keyquorum.advance(timedelta(seconds=-1))
    with caught.value as answer:
        assert answer.code == 400


def test_a_server_with_a_seed_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "seed.toml"
    path.write_text("[[key]]\nid = 'mine'\naliases = ['alias/mine']\n")
    server = Server(path, region="eu-central-1")
    try:
        for _ in range(2):
            found = server.client().describe_key(KeyId="alias/mine")["KeyMetadata"]
            assert found["Arn"] == "arn:aws:kms:eu-central-1:111122223333:key/mine"
            server.reset()
    finally:
        server.stop()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"absent\.toml cannot be read"):
        Server(tmp_path / "absent.toml")
