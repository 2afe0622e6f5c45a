# SPDX-License-Identifier: Apache-2.0
"""Fifty clients change one key at once, through two processes: whatever was answered is there afterwards, and nobody
meets a fault of the server's."""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from http_wire import Wire
from processes import audit_records, complaints
from servers import ACCOUNT, Production, behind_its_back
from wire_signing import Signer

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
CLIENTS = 50


class Change(NamedTuple):
    operation: str
    members: dict[str, Any]


class Done(NamedTuple):
    change: Change
    status: int
    answer: dict[str, Any]


def changes(key: str, policy: str, n: int) -> list[Change]:
    """What client ``n`` does, each in an order of its own."""
    grant = {"KeyId": key, "GranteePrincipal": ROOT, "Operations": ["Decrypt"]}
    wanted = [
        Change("CreateAlias", {"AliasName": f"alias/{n}", "TargetKeyId": key}),
        Change("TagResource", {"KeyId": key, "Tags": [{"TagKey": f"tag-{n}", "TagValue": str(n)}]}),
        Change("CreateGrant", {**grant, "Name": f"own-{n}"}),
        Change("CreateGrant", {**grant, "Name": "shared"}),
        Change("CreateGrant", grant),
        Change("RotateKeyOnDemand", {"KeyId": key}),
        Change("PutKeyPolicy", {"KeyId": key, "Policy": policy.replace("Enable IAM", f"Client {n}")}),
        Change("UpdateKeyDescription", {"KeyId": key, "Description": f"by {n}"}),
        Change("DisableKey" if n % 5 == 0 else "EnableKey", {"KeyId": key}),
        Change("EnableKey", {"KeyId": key}),
    ]
    return wanted[n % len(wanted) :] + wanted[: n % len(wanted)]


def all_at_once(server: Production, plans: list[list[Change]]) -> list[Done]:
    """Each plan by a client on a connection of its own; all begin together."""
    done: list[Done] = []
    ready = threading.Barrier(len(plans))

    def run(plan: list[Change]) -> None:
        signer, wire = Signer(server, server.root), Wire(server.connect().sock)
        wire.sock.settimeout(60)
        ready.wait()
        for change in plan:
            response = wire.exchange(signer.request(change.operation, json.dumps(change.members).encode()).wire())
            done.append(Done(change, response.status, response.json if response.body else {}))
        wire.close()

    threads = [threading.Thread(target=run, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == sum(map(len, plans)), "a client was not answered"
    return done


@contextmanager
def locked_now_and_then(server: Production) -> Iterator[None]:
    """Meanwhile somebody else takes the database's write lock, again and again, and gives it back."""
    over, held = threading.Event(), 0

    def hold() -> None:
        nonlocal held
        with behind_its_back(server.database) as connection:
            while not over.wait(0.02):
                with suppress(sqlite3.OperationalError):  # it was not to be had
                    connection.execute("BEGIN IMMEDIATE")
                    over.wait(0.1)
                    connection.execute("ROLLBACK")
                    held += 1

    holder = threading.Thread(target=hold)
    holder.start()
    yield
    over.set()
    holder.join()
    assert held > 0


def succeeded(done: list[Done], operation: str) -> list[Done]:
    return [one for one in done if one.change.operation == operation and one.status == 200]


def listed(call: Any, result: str, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    marker: dict[str, str] = {}
    while True:
        page = call(**members, **marker)
        found += page[result]
        if not page["Truncated"]:
            return found
        marker = {"Marker": page["NextMarker"]}


@pytest.mark.slow
def test_no_change_of_one_key_is_lost(start: Callable[..., Production]) -> None:
    server = start("--workers", "2", "--quota", "on_demand_rotations_per_key=40", "--lock-timeout", "30")
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"before")["CiphertextBlob"]
    policy = kms.get_key_policy(KeyId=key)["Policy"]

    with locked_now_and_then(server):
        done = all_at_once(server, [changes(key, policy, n) for n in range(CLIENTS)])

    # Nothing but what a key that is disabled meanwhile, and the quota of rotations, account for.
    refusals = Counter((one.change.operation, one.answer["__type"]) for one in done if one.status != 200)
    assert set(refusals) <= {
        ("CreateGrant", "DisabledException"),
        ("RotateKeyOnDemand", "DisabledException"),
        ("RotateKeyOnDemand", "LimitExceededException"),
    }
    assert len(succeeded(done, "CreateAlias")) == len(succeeded(done, "TagResource")) == CLIENTS
    aliases = {alias["AliasName"] for alias in listed(kms.list_aliases, "Aliases", KeyId=key)}
    assert aliases == {f"alias/{n}" for n in range(CLIENTS)}
    tags = {tag["TagKey"]: tag["TagValue"] for tag in listed(kms.list_resource_tags, "Tags", KeyId=key)}
    assert tags == {f"tag-{n}": str(n) for n in range(CLIENTS)}

    grants = listed(kms.list_grants, "Grants", KeyId=key)
    answered = [one.answer["GrantId"] for one in succeeded(done, "CreateGrant")]
    assert {grant["GrantId"] for grant in grants} == set(answered)
    assert len(grants) == len(set(answered))
    # One name and the same parameters are one grant, whoever asks and wherever.
    assert Counter(grant.get("Name") for grant in grants)["shared"] == 1

    kms.enable_key(KeyId=key)
    rotated = succeeded(done, "RotateKeyOnDemand")
    rotations = listed(kms.list_key_rotations, "Rotations", KeyId=key)
    assert len(rotations) == len({rotation["KeyMaterialId"] for rotation in rotations}) == len(rotated) > 0
    assert {rotation["RotationType"] for rotation in rotations} == {"ON_DEMAND"}
    materials = listed(kms.list_key_rotations, "Rotations", KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    current = [m["KeyMaterialId"] for m in materials if m["KeyMaterialState"] == "CURRENT"]
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert current == [described["CurrentKeyMaterialId"]]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"before"
    assert kms.generate_data_key(KeyId=key, NumberOfBytes=8)["KeyMaterialId"] == current[0]
    # The limit counts each rotation once.
    for _ in range(40 - len(rotated)):
        kms.rotate_key_on_demand(KeyId=key)
    with pytest.raises(kms.exceptions.LimitExceededException):
        kms.rotate_key_on_demand(KeyId=key)

    # Of what replaces, one whole stays.
    assert described["Description"] in {f"by {n}" for n in range(CLIENTS)}
    assert kms.get_key_policy(KeyId=key)["Policy"] in {
        policy.replace("Enable IAM", f"Client {n}") for n in range(CLIENTS)
    }

    server.stop()
    assert complaints(server) == []
    recorded = Counter(record["eventName"] for record in audit_records(server.data) if not record.get("errorCode"))
    for operation in ("CreateAlias", "TagResource", "CreateGrant", "PutKeyPolicy", "UpdateKeyDescription"):
        assert recorded[operation] == len(succeeded(done, operation))


@pytest.mark.slow
def test_quotas_hold_when_all_come_at_once(start: Callable[..., Production]) -> None:
    quotas = ("grants_per_key=7", "aliases_per_key=5", "tags_per_key=6", "on_demand_rotations_per_key=4")
    options = [word for quota in quotas for word in ("--quota", quota)]
    server = start("--workers", "2", "--lock-timeout", "30", *options)
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = kms.get_key_policy(KeyId=key)["Policy"]
    wanted = ("CreateAlias", "TagResource", "CreateGrant", "RotateKeyOnDemand")
    plans = [[change for change in changes(key, policy, n) if change.operation in wanted] for n in range(CLIENTS)]

    done = all_at_once(server, plans)

    refusals = {(one.change.operation, one.answer["__type"]) for one in done if one.status != 200}
    assert refusals == {(name, "TagException" if "Tag" in name else "LimitExceededException") for name in wanted}
    assert len(succeeded(done, "CreateAlias")) == len(listed(kms.list_aliases, "Aliases", KeyId=key)) == 5
    assert len(succeeded(done, "TagResource")) == len(listed(kms.list_resource_tags, "Tags", KeyId=key)) == 6
    assert len({one.answer["GrantId"] for one in succeeded(done, "CreateGrant")}) == 7
    assert len(listed(kms.list_grants, "Grants", KeyId=key)) == 7
    assert len(succeeded(done, "RotateKeyOnDemand")) == 4
    assert len(listed(kms.list_key_rotations, "Rotations", KeyId=key)) == 4
    assert complaints(server) == []
