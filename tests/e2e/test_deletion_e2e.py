# SPDX-License-Identifier: Apache-2.0
"""Deletion really happens: a key whose date has come is nowhere, not in a file and not in a process."""

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from http_wire import wait_until
from servers import ACCOUNT, REGION, Production, behind_its_back, code_of, refused
from sigv4_requests import ACCESS_KEY_ID, SECRET, signed_by_botocore

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.jobs import due
from keyquorum.model import key_name
from keyquorum.ops.key_state import DELETE_KEY
from keyquorum.testing import Server

pytestmark = pytest.mark.slow

DAY = 86_400
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def wrapped_materials(database: Path) -> dict[str, bytes]:
    """Key ID -> wrapped material, as the database has it now."""
    with behind_its_back(database) as other:
        return dict(
            other.execute("SELECT key_id, wrapped FROM key_materials JOIN wrapped_materials ON wrapped_row = row")
        )


def holding(data: Path, wrapped: dict[str, bytes]) -> list[tuple[str, str]]:
    """(key ID, file) wherever a file of the data directory holds even a part of a wrapped material."""
    files = {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert "keyquorum.db" in files
    return [
        (key_id, name)
        for key_id, secret in wrapped.items()
        for name, content in files.items()
        if any(secret[i : i + 12] in content for i in range(0, len(secret) - 11, 12))
    ]


# -- as a test suite sees it, which moves the clock


def test_a_key_is_gone_when_its_date_has_come(keyquorum: Server) -> None:
    kms = keyquorum.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/doomed", TargetKeyId=key["KeyId"])
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)

    keyquorum.advance(timedelta(days=7, seconds=-60))
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        kms.decrypt(CiphertextBlob=blob)

    keyquorum.advance(timedelta(seconds=61))
    absent = f"Key '{key['Arn']}' does not exist"
    for call, arguments in (
        (kms.decrypt, {"CiphertextBlob": blob, "KeyId": key["KeyId"]}),
        (kms.decrypt, {"CiphertextBlob": blob, "KeyId": key["Arn"]}),
        (kms.describe_key, {"KeyId": key["KeyId"]}),
        (kms.cancel_key_deletion, {"KeyId": key["KeyId"]}),
        (kms.encrypt, {"KeyId": key["KeyId"], "Plaintext": b"x"}),
    ):
        with refused("NotFoundException", absent):
            call(**arguments)
    with refused(
        "AccessDeniedException",
        f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: kms:Decrypt on the resource associated with "
        "this ciphertext because the resource does not exist in this Region, no resource-based policies allow access, "
        "or a resource-based policy explicitly denies access",
    ):
        kms.decrypt(CiphertextBlob=blob)
    with refused("NotFoundException", f"Alias arn:aws:kms:{REGION}:{ACCOUNT}:alias/doomed is not found."):
        kms.describe_key(KeyId="alias/doomed")
    assert kms.list_keys()["Keys"] == []
    assert kms.list_aliases()["Aliases"] == []


def test_a_deletion_that_was_cancelled_never_comes(keyquorum: Server) -> None:
    kms = keyquorum.client("kms")
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    kms.cancel_key_deletion(KeyId=key_id)
    keyquorum.advance(timedelta(days=400))
    kms.enable_key(KeyId=key_id)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_the_id_of_a_deleted_key_is_never_given_again(keyquorum: Server) -> None:
    kms = keyquorum.client("kms")
    tags = [{"TagKey": "_custom_id_", "TagValue": KEY}]
    kms.create_key(Tags=tags)
    kms.schedule_key_deletion(KeyId=KEY, PendingWindowInDays=7)
    keyquorum.advance(timedelta(days=8))
    assert code_of(kms.create_key, Tags=tags) == "AlreadyExistsException"


# -- a production server, which nobody can hurry


@pytest.mark.slow
@pytest.mark.sqlite
def test_a_production_server_deletes_by_itself(start: Callable[..., Production], tmp_path: Path) -> None:
    """The date of the seed comes while the server runs; it is restarted in between."""
    seed = tmp_path / "seed.toml"
    date = datetime.now(UTC) + timedelta(seconds=6)
    seed.write_text(f'[[key]]\nid = "{KEY}"\nstate = "PendingDeletion"\ndeletion_date = {date.isoformat()}\n')
    first = start("--seed", str(seed))
    wrapped = wrapped_materials(first.database)
    assert {key_id for key_id, _ in holding(first.data, wrapped)} == {KEY}
    first.stop()
    server = start("--seed", str(seed))
    kms = server.client()
    kms.create_key()
    wait_until(lambda: code_of(kms.describe_key, KeyId=KEY) == "NotFoundException")

    def erased() -> bool:
        with behind_its_back(server.database) as other:
            counts = "SELECT (SELECT count(*) FROM deleted_keys), (SELECT count(*) FROM erasures)"
            return bool(other.execute(counts).fetchone() == (1, 0))

    wait_until(erased)
    assert holding(server.data, wrapped) == []
    audit = b"".join(path.read_bytes() for path in (server.data / "audit").iterdir())
    assert audit.count(b'"eventName":"DeleteKey"') == 1
    assert audit.count(b'"eventName":"EraseKeyMaterial"') == 1
    # The seed does not bring it back.
    server.stop()
    assert code_of(start("--seed", str(seed)).client().describe_key, KeyId=KEY) == "NotFoundException"


@pytest.mark.slow
def test_a_restart_changes_nothing(start: Callable[..., Production]) -> None:
    server = start()
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    date = kms.schedule_key_deletion(KeyId=key["KeyId"])["DeletionDate"]
    server.stop()
    kms = start().client()
    metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert (metadata["KeyState"], metadata["DeletionDate"]) == ("PendingDeletion", date)
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        kms.decrypt(CiphertextBlob=blob)
    kms.cancel_key_deletion(KeyId=key["KeyId"])
    kms.enable_key(KeyId=key["KeyId"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# -- a production service on files, whose clock can be moved from within


POLICY = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}'


class Local:
    """A production service on a data directory, without sockets; every request is signed all the same."""

    def __init__(self, directory: Path, data: Path | None = None) -> None:
        seed = directory / "seed.toml"
        user = f'name = "a"\naccess_key_id = "{ACCESS_KEY_ID}"\nsecret_access_key = "{SECRET}"\npolicy = \'{POLICY}\'\n'
        seed.write_text(f"[[user]]\n{user}")
        self.data = data or directory / "data"
        self.service = Service(Settings(data=self.data, seed=seed))

    def __call__(self, operation: str, body: bytes) -> tuple[int, bytes]:
        request = signed_by_botocore(body=body, extra={"X-Amz-Target": f"TrentService.{operation}"})
        answer = self.service.pipeline.answer(request, may_block=True)
        return answer.status, answer.body

    def create_key(self, description: str = "") -> str:
        status, body = self("CreateKey", b'{"Description":"%b"}' % description.encode())
        assert status == 200
        return body.partition(b'"KeyId":"')[2][:36].decode()

    def schedule(self, key_id: str, days: int) -> None:
        assert (
            self("ScheduleKeyDeletion", b'{"KeyId":"%b","PendingWindowInDays":%d}' % (key_id.encode(), days))[0] == 200
        )

    def exists(self, key_id: str) -> bool:
        return self("DescribeKey", b'{"KeyId":"%b"}' % key_id.encode())[0] == 200

    def use(self, key_id: str) -> int:
        return self("Encrypt", b'{"KeyId":"%b","Plaintext":"aGVsbG8="}' % key_id.encode())[0]


def unerased(service: Service) -> list[tuple[str, str, str]]:
    with service.database.read() as connection:
        return [
            (key_id, account, region) for _, key_id, region, account in service.store.keys.erasures.pending(connection)
        ]


def at_hand(service: Service) -> set[str]:
    """The names of the keys whose material this process has opened, usable or not."""
    return {name for name, entry in service.store.key_cache._entries.items() if entry[3].opened}


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    local = Local(tmp_path)
    yield local
    local.service.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_no_file_holds_what_was_deleted(local: Local, seed: int) -> None:
    """Many keys come and go in random order, so that the database splits, merges and uses pages again; none of that
    may leave a copy behind, of those that were deleted together or one by one."""
    chance = random.Random(seed)
    service = local.service
    living = [local.create_key("d" * chance.choice((0, 40, 900, 5000))) for _ in range(200)]
    gone: dict[str, bytes] = {}
    for round_ in range(3):
        chance.shuffle(living)
        doomed, living = living[:60], living[60:]
        wrapped = wrapped_materials(local.data / "keyquorum.db")
        for key_id in doomed:
            local.use(key_id)
            local.schedule(key_id, chance.randint(7, 30))
        for day in (*range(7, 31, 4), 31):
            service.clock.offset = (round_ * 31 + day) * DAY
            service.run_jobs()
            for _ in range(chance.randint(0, 6)):
                living.append(local.create_key("d" * chance.choice((0, 40, 900, 5000))))
        gone |= {key_id: wrapped[key_id] for key_id in doomed}
        assert not any(local.exists(key_id) for key_id in doomed)
        assert holding(local.data, gone) == []
        assert not {key_name(key_id, REGION) for key_id in gone} & at_hand(service)
    present = wrapped_materials(local.data / "keyquorum.db")
    assert set(present) == set(living)
    assert {key_id for key_id, _ in holding(local.data, present)} == set(living)
    assert all(local.use(key_id) == 200 for key_id in living)


def test_a_process_that_died_between_deletion_and_erasure_leaves_that_to_the_next(local: Local, tmp_path: Path) -> None:
    service = local.service
    keys = [local.create_key() for _ in range(20)]
    wrapped = {
        key_id: blob
        for key_id, blob in wrapped_materials(service.database.path or tmp_path).items()
        if key_id in keys[:10]
    }
    for key_id in keys[:10]:
        local.schedule(key_id, 7)
    service.clock.offset = 8 * DAY
    due._run(service.store, service.pipeline, service.clock, service.store.keys.due_for_deletion, DELETE_KEY)
    # What a killed process leaves is what its files hold at that moment.
    crashed = tmp_path / "crashed"
    shutil.copytree(local.data, crashed)
    assert holding(crashed, wrapped)
    again = Local(tmp_path, crashed)
    again.service.run_jobs()
    assert holding(crashed, wrapped) == []
    assert [again.exists(key_id) for key_id in keys] == [False] * 10 + [True] * 10
    again.service.close()


def test_a_reader_delays_the_erasure_and_does_not_prevent_it(local: Local) -> None:
    """Erasure is recorded once it is true, and not before."""
    service = local.service
    key_id = local.create_key()
    wrapped = wrapped_materials(local.data / "keyquorum.db")
    local.schedule(key_id, 7)
    service.clock.offset = 8 * DAY
    with behind_its_back(local.data / "keyquorum.db") as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM keys").fetchall()
        service.run_jobs()
        assert not local.exists(key_id)
        assert unerased(service) == [(key_id, ACCOUNT, REGION)]
        other.execute("ROLLBACK")
    service.run_jobs()
    assert unerased(service) == []
    assert holding(local.data, wrapped) == []


def test_a_long_reader_does_not_stop_who_writes(local: Local) -> None:
    """A backup reads for longer than a writer waits, while an erasure is due and is tried again and again."""
    service = local.service
    local.schedule(local.create_key(), 7)
    service.clock.offset = 8 * DAY

    def keep_trying() -> None:
        for _ in range(3):
            service.run_jobs()

    with behind_its_back(local.data / "keyquorum.db") as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT * FROM keys").fetchall()
        jobs = threading.Thread(target=keep_trying)
        jobs.start()
        statuses = set()
        while jobs.is_alive():
            statuses.add(local("CreateKey", b"{}")[0])
        jobs.join()
        backup.execute("ROLLBACK")
    assert statuses == {200}


def test_other_processes_forget_the_key_too(local: Local, tmp_path: Path) -> None:
    key_id = local.create_key()
    other = Local(tmp_path, local.data)
    assert other.use(key_id) == 200
    assert key_name(key_id, REGION) in at_hand(other.service)
    local.schedule(key_id, 7)
    local.service.clock.offset = 8 * DAY
    local.service.run_jobs()
    other.service.run_jobs()
    assert other.use(key_id) == 400
    assert key_name(key_id, REGION) not in at_hand(other.service)
    other.service.close()
