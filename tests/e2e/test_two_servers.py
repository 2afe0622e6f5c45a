# SPDX-License-Identifier: Apache-2.0
"""Several processes on one data directory: what one has answered, the other's very next request knows."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from servers import Production, code_of

pytestmark = pytest.mark.slow

ROUNDS = 50


def test_a_change_at_one_server_is_seen_by_the_next_request_at_the_other(start: Callable[..., Production]) -> None:
    a, b = (start().client() for _ in range(2))
    key_id = a.create_key()["KeyMetadata"]["KeyId"]
    assert b.encrypt(KeyId=key_id, Plaintext=b"x")["KeyId"].endswith(key_id)
    for _ in range(ROUNDS):
        a.disable_key(KeyId=key_id)
        assert code_of(b.encrypt, KeyId=key_id, Plaintext=b"x") == "DisabledException"
        a.enable_key(KeyId=key_id)
        assert code_of(b.encrypt, KeyId=key_id, Plaintext=b"x") == ""


def test_so_are_aliases_tags_and_policies(start: Callable[..., Production]) -> None:
    a, b = (start().client() for _ in range(2))
    first, second = (a.create_key()["KeyMetadata"] for _ in range(2))
    a.create_alias(AliasName="alias/moving", TargetKeyId=first["KeyId"])
    for _ in range(10):
        for here, there, target in ((a, b, second), (b, a, first)):
            here.update_alias(AliasName="alias/moving", TargetKeyId=target["KeyId"])
            assert there.encrypt(KeyId="alias/moving", Plaintext=b"x")["KeyId"] == target["Arn"]
    a.delete_alias(AliasName="alias/moving")
    assert code_of(b.encrypt, KeyId="alias/moving", Plaintext=b"x") == "NotFoundException"
    a.tag_resource(KeyId=first["KeyId"], Tags=[{"TagKey": "t", "TagValue": "v"}])
    assert b.list_resource_tags(KeyId=first["KeyId"])["Tags"] == [{"TagKey": "t", "TagValue": "v"}]
    a.update_key_description(KeyId=first["KeyId"], Description="new")
    assert b.describe_key(KeyId=first["KeyId"])["KeyMetadata"]["Description"] == "new"


def test_workers_of_one_server(start: Callable[..., Production]) -> None:
    """Each request on a connection of its own, which any worker may get."""
    server = start("--workers", "2")
    key_id = server.signed("CreateKey", {}).json["KeyMetadata"]["KeyId"]
    encrypt = {"KeyId": key_id, "Plaintext": "aGVsbG8="}
    for _ in range(ROUNDS):
        assert server.signed("DisableKey", {"KeyId": key_id}).status == 200
        assert server.signed("Encrypt", encrypt).fault == (400, "DisabledException")
        assert server.signed("EnableKey", {"KeyId": key_id}).status == 200
        assert server.signed("Encrypt", encrypt).status == 200
    server.stop()
    records = b"".join(path.read_bytes() for path in (server.data / "audit").iterdir())
    assert records.count(b'"eventName":"Encrypt"') == 2 * ROUNDS
    assert records.count(b'"eventName":"DisableKey"') == ROUNDS


def test_both_write_at_once_and_nothing_is_lost(start: Callable[..., Production]) -> None:
    servers = [start() for _ in range(2)]

    def work(server: Production) -> list[tuple[str, str]]:
        made = []
        for _ in range(25):
            key_id = server.signed("CreateKey", {}).json["KeyMetadata"]["KeyId"]
            plaintext = base64.b64encode(key_id.encode()).decode()
            blob = server.signed("Encrypt", {"KeyId": key_id, "Plaintext": plaintext}).json["CiphertextBlob"]
            made.append((plaintext, blob))
        return made

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(work, servers * 2))
    for reader in servers:
        for plaintext, blob in (pair for made in results for pair in made):
            assert reader.signed("Decrypt", {"CiphertextBlob": blob}).json["Plaintext"] == plaintext


def test_two_first_starts_at_once_agree_on_one_root(start: Callable[..., Production], tmp_path: Any) -> None:
    """Both print their banner; only one of them made the access key, and both know it."""
    with ThreadPoolExecutor(2) as threads:
        one, two = threads.map(lambda _: Production(tmp_path), range(2))
    try:
        assert one.root == two.root
        key_id = one.client().create_key()["KeyMetadata"]["KeyId"]
        assert two.client().encrypt(KeyId=key_id, Plaintext=b"x")["KeyId"].endswith(key_id)
    finally:
        one.stop()
        two.stop()
