# SPDX-License-Identifier: Apache-2.0
"""A backup that is taken while clients change everything, restored on the other kind of database: a checksum over what
each answered call had promised before it holds there, and what was promised during it is there as a whole or not."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.config import Config
from postgres import fresh_database
from processes import kill_all
from servers import ACCOUNT, Production, environment, run

from keyquorum.authz.policy import default_key_policy

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

WORKERS = 4


class Promise(NamedTuple):
    """What the answers to a few calls said, about one thing. ``kept_at``: monotonic time after the last of them."""

    made: dict[str, str]
    kept_at: float


def line(promise: dict[str, str]) -> str:
    return json.dumps(promise, sort_keys=True)


def checksum(promises: list[dict[str, str]]) -> str:
    return hashlib.sha256("\n".join(sorted(map(line, promises))).encode()).hexdigest()


class Load:
    """Clients that make keys, and all that belongs to one, and identities."""

    def __init__(self, server: Production) -> None:
        self._server = server
        self._stop = threading.Event()
        self.promises: list[Promise] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _work(self, number: int) -> None:
        # As SDKs are by default: a machine that is short of time lets leases lapse for a moment.
        patient = Config(retries={"mode": "standard", "total_max_attempts": 6})
        kms, iam = (self._server.client(service, config=patient) for service in ("kms", "iam"))
        turn = 0
        try:
            while not self._stop.is_set():
                turn += 1
                made = _make(kms, iam, f"{number}-{turn}")
                self.promises.append(Promise(made, time.monotonic()))
        except Exception as error:  # it is shown by the test
            self.failures.append(f"{type(error).__name__}: {error}")


def _make(kms: Any, iam: Any, name: str) -> dict[str, str]:
    default = default_key_policy(ACCOUNT)
    policy = json.dumps({**json.loads(default), "Id": name})
    key_id = kms.create_key(Description=name, Policy=default, Tags=[{"TagKey": "n", "TagValue": name}])["KeyMetadata"][
        "KeyId"
    ]
    first = kms.encrypt(KeyId=key_id, Plaintext=name.encode())["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key_id)
    second = kms.encrypt(KeyId=key_id, Plaintext=name.encode())["CiphertextBlob"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key_id)
    grant = kms.create_grant(KeyId=key_id, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:root", Operations=["Encrypt"])
    iam.create_user(UserName=name, Tags=[{"Key": "n", "Value": name}])
    document = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=document)
    kms.put_key_policy(KeyId=key_id, Policy=policy)
    kms.disable_key(KeyId=key_id)
    kms.enable_key(KeyId=key_id)
    return {
        "name": name,
        "key": key_id,
        "first": first.hex(),
        "second": second.hex(),
        "grant": grant["GrantId"],
        "policy": policy,
        "user policy": document,
    }


def _found(kms: Any, iam: Any, promise: dict[str, str]) -> dict[str, str]:
    """The same as ``_make`` promised, as the server has it now."""
    name, key_id = promise["name"], promise["key"]
    described = kms.describe_key(KeyId=f"alias/{name}")["KeyMetadata"]
    assert described["KeyState"] == "Enabled"
    opened = {
        part: kms.decrypt(CiphertextBlob=bytes.fromhex(promise[part]), KeyId=key_id)["Plaintext"].decode()
        for part in ("first", "second")
    }
    tags = kms.list_resource_tags(KeyId=key_id)["Tags"]
    assert tags == [{"TagKey": "n", "TagValue": name}]
    user = iam.get_user(UserName=name)["User"]
    grants = [grant["GrantId"] for grant in kms.list_grants(KeyId=key_id)["Grants"]]
    document = iam.get_user_policy(UserName=name, PolicyName=name)["PolicyDocument"]
    return {
        "name": described["Description"] if user["Tags"] == [{"Key": "n", "Value": name}] else "",
        "key": described["KeyId"],
        "first": promise["first"] if opened["first"] == name else "",
        "second": promise["second"] if opened["second"] == name else "",
        "grant": " ".join(grants),
        "policy": kms.get_key_policy(KeyId=key_id)["Policy"],
        "user policy": document if isinstance(document, str) else json.dumps(document),
    }


@contextmanager
def _server(directory: Path, *options: str) -> Iterator[Production]:
    server = Production(directory, *options)
    try:
        yield server
    finally:
        kill_all(server)


@contextmanager
def _databases(kind: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Options of a server on this kind of database, and on the other."""
    with fresh_database() as url:
        there = ("--database", url)
        yield ((), there) if kind == "sqlite" else (there, ())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_promised_holds_on_the_other_database(tmp_path: Path, kind: str) -> None:
    first, second, backup = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    first.mkdir()
    with _databases(kind) as (here, there), _server(first, *here) as server:
        with Load(server) as load:
            time.sleep(5)
            begun = time.monotonic()
            command = [sys.executable, "-m", "keyquorum", "backup", "create", "--audit", "--data", str(server.data)]
            done = subprocess.run(
                [*command, *here, str(backup)], env=environment(), capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
            ended = time.monotonic()
            time.sleep(2)
        assert load.failures == []
        before = [promise.made for promise in load.promises if promise.kept_at < begun]
        during = [promise.made for promise in load.promises if begun <= promise.kept_at <= ended]
        after = [promise.made for promise in load.promises if promise.kept_at > ended]
        assert before
        assert after
        data = second / "data"
        data.mkdir(mode=0o700, parents=True)
        shutil.copy2(server.data / "seal.key", data)
        os.environ.pop("KEYQUORUM_DATA", None)
        run("backup", "verify", "--data", str(data), *there, str(backup))
        run("restore", "--data", str(data), *there, str(backup))
        with _server(second, *there) as again:
            patient = Config(retries={"mode": "standard", "total_max_attempts": 6})
            kms, iam = (again.client(name, access=server.root, config=patient) for name in ("kms", "iam"))
            assert checksum([_found(kms, iam, promise) for promise in before]) == checksum(before)
            for promise in [*during, *after]:
                _whole_or_absent(kms, promise)
            again.stop()
            run("audit", "verify", "--data", str(data), *there)


def _whole_or_absent(kms: Any, promise: dict[str, str]) -> None:
    """A key that is there has a policy and material that works; nothing else of it is there without it."""
    key_id = promise["key"]
    try:
        kms.describe_key(KeyId=key_id)
    except kms.exceptions.NotFoundException:
        with pytest.raises(kms.exceptions.NotFoundException):
            kms.describe_key(KeyId=f"alias/{promise['name']}")
        return
    assert kms.get_key_policy(KeyId=key_id)["Policy"]
    kms.enable_key(KeyId=key_id)
    opened = kms.decrypt(CiphertextBlob=bytes.fromhex(promise["first"]))["Plaintext"]
    assert opened.decode() == promise["name"]
