# SPDX-License-Identifier: Apache-2.0
"""``keyquorum audit``: what the commands print and end with; none of ``verify --key``, ``tail`` and ``search`` needs a
seal or a database."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_lines import made
from audit_logs import SIGNER, fill
from click.testing import CliRunner, Result

from keyquorum.app import Service
from keyquorum.audit import record as form
from keyquorum.audit.checkpoints import Checkpoints
from keyquorum.audit.log import AuditLog
from keyquorum.audit.reading import Follower, Shown, human, read
from keyquorum.cli import main
from keyquorum.config import Settings

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:us-east-1:111122223333:key/{KEY}"
ALICE = form.Identity("IAMUser", "AIDA1", "arn:aws:iam::111122223333:user/alice", "111122223333", "AKIA1", "alice")
ROLE = form.Identity(
    "AssumedRole", "AROA1:s", "arn:aws:sts::111122223333:assumed-role/deploy/s", "111122223333", "ASIA1"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two writers, whose records are in turn in time."""
    directory = tmp_path / "audit"
    logs = [AuditLog.open(directory, rotate_size=3000) for _ in range(2)]
    key = [form.Resource("111122223333", ARN)]
    logs[0].write([made("0", START, user_identity=ALICE, resources=key, request_parameters={"keyId": "alias/a"})])
    logs[1].write([made("1", START + 0.5, user_identity=ROLE, resources=key, event_name="Decrypt")])
    logs[0].write([made("2", START + 60, user_identity=ALICE, error_code="AccessDeniedException", error_message="no")])
    logs[1].write([made("3", START + 86_400, user_identity=ROLE, event_name="Decrypt", error_code="NotFoundException")])
    for log in logs:
        log.close()
    return directory


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


def found(directory: Path, *arguments: str) -> str:
    result = run("search", "--audit-dir", str(directory), "--json", *arguments)
    assert result.exit_code == 0, result.output
    return "".join(json.loads(line)["eventID"] for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "0123"),
        (["--key", KEY], "01"),
        (["--key", ARN], "01"),
        (["--key", "alias/a"], "0123"),
        (["--key", "alias/b"], ""),
        (["--principal", "alice"], "02"),
        (["--principal", "AKIA1"], "02"),
        (["--principal", "AROA1"], "13"),
        (["--principal", "arn:aws:sts::111122223333:assumed-role/deploy"], "13"),
        (["--principal", "ali"], ""),
        (["--operation", "decrypt"], "13"),
        (["--since", "2026-01-01T00:01:00Z"], "23"),
        (["--since", "2026-01-02"], "3"),
        (["--until", "2026-01-01T00:00:59+00:00"], "01"),
        (["--since", "2026-01-01T01:01:00+01:00", "--until", "2026-01-01T23:00"], "2"),
        (["--outcome", "allowed"], "01"),
        (["--outcome", "refused", "--principal", "alice"], "2"),
    ],
)
def test_search(directory: Path, options: list[str], expected: str) -> None:
    assert found(directory, *options) == expected


def test_records_of_files_that_were_put_aside_are_found(tmp_path: Path) -> None:
    fill(tmp_path / "audit", 200, rotate_size=20_000)
    assert len(list((tmp_path / "audit").glob("*.*.jsonl"))) > 2
    lines = run("search", "--audit-dir", str(tmp_path / "audit"), "--json").stdout.splitlines()
    assert [json.loads(line)["eventID"] for line in lines] == [f"event {n}" for n in range(200)]


def test_a_line_for_people(directory: Path) -> None:
    lines = run("search", "--audit-dir", str(directory)).stdout.splitlines()
    assert lines[0] == (
        f"2026-01-01T00:00:00.000Z Encrypt allowed arn:aws:iam::111122223333:user/alice {ARN} from 192.0.2.7"
    )
    assert lines[2].endswith("Encrypt AccessDeniedException arn:aws:iam::111122223333:user/alice from 192.0.2.7 no")


def test_a_line_for_people_is_one_line_whatever_it_holds() -> None:
    shown = read(made("a", event_name="A\x1b[2J\nB", error_message="\x07\u2028\u202e"))
    assert shown is not None
    assert human(shown).isprintable()


def test_tail(directory: Path) -> None:
    assert len(run("tail", "--audit-dir", str(directory)).stdout.splitlines()) == 4
    shown = run("tail", "--audit-dir", str(directory), "-n", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["eventID"] for line in shown] == ["2", "3"]


def test_what_comes_is_followed_through_new_files_and_new_writers(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    log = AuditLog.open(directory, rotate_size=2000)
    log.write([made("before")])
    todo = iter([[made("a", START)], [made("b", START + 1), made("c", START + 2)], [made("d", START + 3)]])

    def more() -> None:
        log.write(next(todo))

    following = Follower(directory, more)
    follower: Iterator[Shown] = iter(following)
    assert [json.loads(next(follower).line)["eventID"] for _ in range(4)] == list("abcd")
    assert log.rotations
    other = AuditLog.open(directory)
    other.write([made("other")])
    assert json.loads(next(follower).line)["eventID"] == "other"
    following.close()
    log.close()
    other.close()


def test_what_is_no_record_is_passed_over(directory: Path) -> None:
    with (directory / "1.jsonl").open("ab") as file:
        file.write(b'nonsense\n{"eventTime"')
    assert found(directory) == "0123"


def test_verify_by_the_public_key_alone(tmp_path: Path) -> None:
    fill(tmp_path / "audit", 100, rotate_size=20_000)
    options = ["--audit-dir", str(tmp_path / "audit"), "--key", SIGNER.public_key()]
    result = run("verify", *options)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "The log is whole.")
    assert result.stdout.splitlines()[-2].startswith("100 records; last checkpoint: number ")
    file = tmp_path / "audit" / "0.jsonl"
    file.write_bytes(file.read_bytes().replace(b"alice", b"mallo", 1))
    result = run("verify", *options)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, "The log is NOT whole.")
    assert result.stdout.startswith("0.jsonl:2: ")


def test_verify_wants_a_key(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    for options in (["--key", "00"], ["--key", "x" * 64], []):
        result = run("verify", "--audit-dir", str(tmp_path / "audit"), *options)
        assert (result.exit_code, "Traceback" in result.output) == (2, False)
        assert "--key" in result.stderr
    assert run("verify", "--audit-dir", str(tmp_path / "nowhere")).exit_code == 2


def test_key_checkpoint_and_prune_on_a_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = Service(Settings(data=data, development=True, audit_rotate_size=1 << 20))
    service.pipeline.write_records([made(str(n), START + n) for n in range(2000)])
    service.pipeline.write_records([made("last", START + 3000)])
    service.close()
    key = run("key", "--data", str(data)).stdout.strip()
    assert key == service.audit.public_key
    verify = ["verify", "--data", str(data)]
    assert run(*verify).exit_code == 0
    assert run(*verify, "--key", SIGNER.public_key()).exit_code == 1
    assert run("checkpoint", "--data", str(data)).stdout == "Nothing has changed since the last checkpoint.\n"
    log = AuditLog.open(data / "audit")
    log.write([made("more", START + 3001)])
    log.close()
    assert run("checkpoint", "--data", str(data)).stdout.startswith("checkpoint ")
    assert run("prune", "--data", str(data), "--before", "2025-12-31").stdout == "There is nothing so old.\n"
    assert run("prune", "--data", str(data), "--before", "2026-01-02").stdout == f"removed {data}/audit/0.1.jsonl\n"
    result = run(*verify, "--key", key)
    assert result.exit_code == 0
    assert "0.1.jsonl was removed on purpose" in result.stdout
    assert run("prune", "--data", str(data), "--before", "yesterday").exit_code == 2
    (data / "seal.key").unlink()
    assert run("key", "--data", str(data)).exit_code == 2
    assert run(*verify, "--key", key).exit_code == 0
    assert run("tail", "--data", str(data)).exit_code == 0


def test_a_checkpoint_while_another_process_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyquorum.audit import checkpoints
    from keyquorum.audit.log import AuditError

    fill(tmp_path / "audit", 10, rotate_size=1 << 20)
    monkeypatch.setattr(checkpoints, "_WAIT", 0.05)
    maker = Checkpoints(tmp_path / "audit", SIGNER)
    with maker._locked(), pytest.raises(AuditError, match="another process keeps"):
        maker.make(None, 0.0)
    assert maker.make(None, 0.0) is None
