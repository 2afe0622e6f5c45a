# SPDX-License-Identifier: Apache-2.0
"""Nodes on one PostgreSQL: what each promises of the others' changes, and what goes on when one of them dies."""

import datetime
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cluster import Link, Node, cluster, through
from matrix import import_request
from people import ABLE, ADMIN, CLOSED, NOBODY, write_seed
from postgres import fresh_database, name_of, server
from servers import code_of, refused

from keyquorum.store.postgresql import WRITE_LOCK

pytestmark = pytest.mark.slow

PROMISED = 1.0  # seconds


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    with fresh_database() as url, cluster(tmp_path, [url, url], "--seed", str(write_seed(tmp_path))) as made:
        yield made


def soon(found: Callable[[], Any], expected: Any, seconds: float = PROMISED) -> None:
    """It is so within a second, and stays so."""
    deadline = time.monotonic() + seconds
    while found() != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [found() for _ in range(3)] == [expected] * 3


def test_what_one_node_has_answered_the_other_knows_within_a_second(nodes: list[Node]) -> None:
    """Key states, aliases, tags, grants, policies of keys and of people, and access keys; whichever node is asked."""
    admins = [node.client(access=ADMIN.access) for node in nodes]
    users = [node.client(access=NOBODY.access) for node in nodes]
    iams = [node.client("iam") for node in nodes]
    key_id = admins[0].create_key(Policy=CLOSED)["KeyMetadata"]["KeyId"]
    mine = {"UserName": NOBODY.name, "AccessKeyId": NOBODY.access.key_id}
    for here, there in ((0, 1), (1, 0)) * 3:
        admin, iam, other = admins[here], iams[here], users[there]

        def code(client: Any = other) -> str:
            return code_of(client.encrypt, KeyId=key_id, Plaintext=b"x")

        soon(code, "AccessDeniedException")
        grant = admin.create_grant(KeyId=key_id, GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])
        soon(code, "")
        admin.disable_key(KeyId=key_id)
        soon(code, "DisabledException")
        admin.enable_key(KeyId=key_id)
        soon(code, "")
        iam.update_access_key(**mine, Status="Inactive")
        soon(code, "UnrecognizedClientException")
        iam.update_access_key(**mine, Status="Active")
        soon(code, "")
        admin.revoke_grant(KeyId=key_id, GrantId=grant["GrantId"])
        soon(code, "AccessDeniedException")
        alias = f"alias/of-{here}"
        admin.create_alias(AliasName=alias, TargetKeyId=key_id)

        def by_alias(client: Any = admins[there], name: str = alias) -> str:
            return code_of(client.encrypt, KeyId=name, Plaintext=b"x")

        soon(by_alias, "")
        admin.delete_alias(AliasName=alias)
        soon(by_alias, "NotFoundException")


def test_what_was_encrypted_at_one_node_is_decrypted_at_the_other(nodes: list[Node]) -> None:
    one, two = (node.client() for node in nodes)
    key_id = one.create_key()["KeyMetadata"]["KeyId"]
    blob = two.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    assert one.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"x"


def expiring(node: Node, count: int, seconds: float) -> list[str]:
    """Keys whose imported material expires soon."""
    kms, made = node.client(), []
    for _ in range(count):
        key_id = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
        request = import_request(kms, key_id, "SYMMETRIC_DEFAULT", os.urandom(32))
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        kms.import_key_material(**{**request, "ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": ends})
        made.append(key_id)
    return made


def expired(nodes: list[Node]) -> list[str]:
    """The keys of which an audit log says that expired material was deleted, once for each time."""
    paths = [path for node in nodes for path in (node.data / "audit").glob("*.jsonl")]
    lines = [line for path in paths for line in path.read_text().splitlines()]
    records = [json.loads(line) for line in lines if '"DeleteExpiredKeyMaterial"' in line]
    return sorted(record["resources"][0]["ARN"].rpartition("/")[2] for record in records)


def test_what_comes_due_is_done_once_in_the_cluster_and_goes_on_when_a_node_dies(nodes: list[Node]) -> None:
    first = expiring(nodes[0], 3, 3.0)
    soon(lambda: expired(nodes), sorted(first), seconds=20)
    second = expiring(nodes[1], 3, 3.0)
    [leading] = [node for node in nodes if expired([node])]
    leading.kill()
    nodes.remove(leading)
    soon(lambda: len(expired([nodes[0]])), 3, seconds=20)
    assert expired([leading, *nodes]) == sorted(first + second)


def test_a_node_without_its_database_says_so_and_is_well_again_when_that_is_back(tmp_path: Path) -> None:
    link = Link(("127.0.0.1", server().port))
    with fresh_database() as url, cluster(tmp_path, [through(link, url)]) as (node,):
        kms = node.client()
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        for cut in (link.cut, link.stall):
            soon(lambda: code_of(kms.encrypt, KeyId=key_id, Plaintext=b"x"), "", seconds=10)
            cut()
            soon(lambda: code_of(kms.encrypt, KeyId=key_id, Plaintext=b"x"), "DependencyTimeoutException", seconds=5)
            with refused("DependencyTimeoutException", TIMED_OUT, 500):
                kms.create_key()
            link.heal()
        soon(lambda: code_of(kms.encrypt, KeyId=key_id, Plaintext=b"x"), "", seconds=10)
    link.close()


DRY_RUN = "DryRunOperationException"
TIMED_OUT = "The system timed out while trying to fulfill the request. You can retry the request."


def test_sessions_that_the_server_ends_cost_nobody_a_right_or_an_answer(nodes: list[Node]) -> None:
    url = nodes[0]._options[nodes[0]._options.index("--database") + 1]
    kms = nodes[0].client()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    for _ in range(5):
        server().cut(name_of(url))
        assert code_of(kms.encrypt, KeyId=key_id, Plaintext=b"x") == ""
        assert code_of(kms.create_key) == ""


def test_who_lost_his_access_key_while_his_change_waited_for_its_turn_makes_none(nodes: list[Node]) -> None:
    """Both wait for a third who holds the write lock: the change that takes the access key away comes first, and then
    the one that was signed with it, a second after it was authenticated."""
    url = nodes[0]._options[nodes[0]._options.index("--database") + 1]
    iam, able = nodes[0].client("iam"), nodes[1].client(access=ABLE.access)
    able.create_key()
    mine = {"UserName": ABLE.name, "AccessKeyId": ABLE.access.key_id}
    with ThreadPoolExecutor(2) as threads, server().connect(name_of(url)) as third:
        third.execute("SELECT pg_advisory_lock(%s)", (WRITE_LOCK,))
        first = threads.submit(iam.update_access_key, **mine, Status="Inactive")
        time.sleep(0.5)
        second = threads.submit(code_of, able.create_key)
        time.sleep(1.5)
        third.execute("SELECT pg_advisory_unlock(%s)", (WRITE_LOCK,))
        first.result()
        assert second.result() == "UnrecognizedClientException"


def test_a_change_that_waits_long_for_its_turn_is_made_all_the_same(nodes: list[Node]) -> None:
    url = nodes[0]._options[nodes[0]._options.index("--database") + 1]
    kms = nodes[1].client()
    with ThreadPoolExecutor(1) as threads, server().connect(name_of(url)) as third:
        third.execute("SELECT pg_advisory_lock(%s)", (WRITE_LOCK,))
        made = threads.submit(kms.create_key)
        time.sleep(2)
        third.execute("SELECT pg_advisory_unlock(%s)", (WRITE_LOCK,))
        assert made.result()["KeyMetadata"]["Enabled"]


def test_what_computes_for_longer_than_a_lease_is_answered(nodes: list[Node]) -> None:
    kms = nodes[1].client()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    for _ in range(4):
        assert kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="RSA_4096")["PrivateKeyPlaintext"]
        assert code_of(kms.generate_data_key_pair, KeyId=key_id, KeyPairSpec="RSA_4096", DryRun=True) == DRY_RUN
