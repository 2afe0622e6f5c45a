# SPDX-License-Identifier: Apache-2.0
"""Several processes on one data directory: what one has answered, the other's very next request knows."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from people import ADMIN, CLOSED, EVERYTHING, NOBODY, OPEN, World, allow, document, naming, write_seed
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


def world_of(server: Production) -> World:
    return World(lambda access: server.client(access=access))


def test_so_is_what_people_may(start: Callable[..., Production], tmp_path: Path) -> None:
    """Key policies, identity policies, groups, grants, and access keys; whichever process is asked to change them."""
    options = ("--seed", str(write_seed(tmp_path)))
    servers = [start(*options) for _ in range(2)]
    worlds = [world_of(server) for server in servers]
    iams = [server.client("iam") for server in servers]
    key = worlds[0].key(CLOSED)
    iams[0].create_group(GroupName="crew")
    iams[0].put_group_policy(GroupName="crew", PolicyName="p", PolicyDocument=document(EVERYTHING))
    me, own = {"UserName": NOBODY.name}, {"UserName": NOBODY.name, "PolicyName": "p"}

    def allowed() -> list[bool]:
        found = [code_of(world.by(NOBODY).encrypt, KeyId=key, Plaintext=b"x") for world in worlds]
        assert set(found) <= {"", "AccessDeniedException", "UnrecognizedClientException"}
        return [not code for code in found]

    for turn in range(20):
        admin, iam = worlds[turn % 2].by(ADMIN), iams[turn % 2]
        assert allowed() == [False, False]
        grant = admin.create_grant(KeyId=key, GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])
        assert allowed() == [True, True]
        admin.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
        assert allowed() == [False, False]
        admin.put_key_policy(KeyId=key, Policy=naming(NOBODY))
        assert allowed() == [True, True]
        access_key = {**me, "AccessKeyId": NOBODY.access.key_id}
        iam.update_access_key(**access_key, Status="Inactive")
        assert allowed() == [False, False]
        iam.update_access_key(**access_key, Status="Active")
        iam.put_user_policy(**own, PolicyDocument=document(allow("kms:*", effect="Deny")))
        assert allowed() == [False, False]
        iam.delete_user_policy(**own)
        admin.put_key_policy(KeyId=key, Policy=OPEN)
        assert allowed() == [False, False]
        iam.add_user_to_group(GroupName="crew", **me)
        assert allowed() == [True, True]
        iam.remove_user_from_group(GroupName="crew", **me)


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
