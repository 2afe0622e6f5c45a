# SPDX-License-Identifier: Apache-2.0
"""What verification finds, of an audit log and its checkpoints."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from audit_lines import made
from audit_logs import CHECKPOINTS, SIGNER, VERIFIER, Manipulator, copy, fill, put

from keyquorum.audit.checkpoints import Checkpoints
from keyquorum.audit.log import AuditError, AuditLog
from keyquorum.audit.prune import prune
from keyquorum.audit.signing import Signer, Verifier
from keyquorum.audit.verify import verify

RECORDS = 10_000
ROUNDS, IN_A_ROUND = 10, 100
IN_SHORT = 3  # rounds of make test


class Whole(NamedTuple):
    directory: Path
    exported: Path
    other: Path
    older: Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A log of 10,000 records, what was exported of its checkpoints, another log, and this one as it was before."""
    base = tmp_path_factory.mktemp("audit")
    directory, exported = base / "log", base / "exported"
    fill(base / "other", 200, rotate_size=40_000)
    fill(directory, RECORDS - 2000, rotate_size=900_000, exported=exported)
    older = copy(directory, base / "older")
    fill(directory, 2000, rotate_size=900_000, starts=2, exported=exported)
    return Whole(directory, exported, base / "other", older)


def test_an_untouched_log_is_whole(whole: Whole) -> None:
    for exported in (None, whole.exported):
        report = verify(whole.directory, VERIFIER, exported)
        assert (report.problems, report.records, report.uncovered) == ([], RECORDS, 0)
    assert len(list(whole.directory.glob("*.*.jsonl"))) > 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [number if number < IN_SHORT else pytest.param(number, marks=pytest.mark.long) for number in range(ROUNDS)],
)
def test_random_manipulations_are_caught(whole: Whole, tmp_path: Path, number: int) -> None:
    """Against the exported checkpoints: 1,000 in all."""
    directory = copy(whole.directory, tmp_path / "log")
    manipulator = Manipulator(directory, whole.other, whole.older, number)
    for _ in range(IN_A_ROUND):
        manipulated = manipulator.one()
        put(directory, manipulated.files)
        assert verify(directory, VERIFIER, whole.exported).problems, manipulated.what
        put(directory, {name: manipulator.files[name] for name in manipulated.files})
    assert verify(directory, VERIFIER, whole.exported).problems == []


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two writers of 3 + 2 records each, in two chains, and a checkpoint after each three of a writer."""
    directory = tmp_path / "audit"
    checkpoints = Checkpoints(directory, SIGNER)
    for count in (3, 2):
        logs = [AuditLog.open(directory) for _ in range(2)]
        for writer, log in enumerate(logs):
            log.write([made(f"{count} {writer} {n}") for n in range(count)])
            checkpoints.make(log, 0.0)
        for log in logs:
            log.close()
    return directory


def lines(directory: Path, file: str) -> list[bytes]:
    return (directory / file).read_bytes().splitlines(keepends=True)


def said(directory: Path, verifier: Verifier = VERIFIER, exported: Path | None = None) -> list[str]:
    return [str(problem) for problem in verify(directory, verifier, exported).problems]


def test_it_says_where_a_record_was_changed(small: Path) -> None:
    changed = lines(small, "1.jsonl")
    changed[1] = changed[1].replace(b"alice", b"mallo")
    put(small, {"1.jsonl": changed})
    [problem] = said(small)
    assert problem.startswith("1.jsonl:3: record 3 of chain")
    assert "does not follow the line before it" in problem


def test_it_says_where_a_record_is_missing(small: Path) -> None:
    put(small, {"0.jsonl": lines(small, "0.jsonl")[:1] + lines(small, "0.jsonl")[2:]})
    [problem] = said(small)
    assert problem.startswith("0.jsonl:2: record 3 of chain")
    assert problem.endswith("comes after its record 1")


def test_it_says_what_was_cut_off(small: Path) -> None:
    put(small, {"0.jsonl": lines(small, "0.jsonl")[:4]})
    [problem] = said(small)
    assert problem.startswith("0.jsonl:4: record 2 of chain")
    assert "is not there: the log was cut off" in problem


def test_it_says_which_file_is_missing(small: Path) -> None:
    (small / "1.jsonl").unlink()
    [problem] = said(small)
    assert problem.startswith("1.jsonl: record 3 of chain")


def test_the_last_record_of_all_is_changed(small: Path) -> None:
    changed = lines(small, "1.jsonl")
    changed[4] = changed[4].replace(b"alice", b"mallo")
    put(small, {"1.jsonl": changed})
    [problem] = said(small)
    assert problem.startswith("1.jsonl:5: record 2 of chain")
    assert problem.endswith("which checkpoint 4 states, is another one")


def test_a_log_that_was_written_anew_is_another_one(small: Path) -> None:
    """The chain alone proves nothing: anybody can make one."""
    (small / "0.jsonl").unlink()
    log = AuditLog.own(small, 0)
    assert log is not None
    log.write([made(f"forged {n}") for n in range(5)])
    log.close()
    assert len(said(small)) == 1


def test_a_log_that_was_written_anew_and_then_stated_is_another_one(small: Path) -> None:
    """The server itself goes on from what it finds; what it stated before gives it away."""
    put(small, {"0.jsonl": lines(small, "0.jsonl")[:2]})
    log = AuditLog.open(small)
    log.write([made("after")])
    Checkpoints(small, SIGNER).make(log, 0.0)
    log.close()
    assert any("is not there" in problem for problem in said(small))


def test_checkpoints_under_another_key_are_none(small: Path) -> None:
    assert len(said(small, Verifier(Signer(bytes(32)).public_key()))) == 4


def test_a_checkpoint_is_removed(small: Path) -> None:
    put(small, {CHECKPOINTS: lines(small, CHECKPOINTS)[:1] + lines(small, CHECKPOINTS)[2:]})
    assert said(small) == ["checkpoints.jsonl:2: checkpoint 3 does not follow checkpoint 1"]


def test_an_old_checkpoint_file_is_found_by_what_was_exported(small: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    exported.write_bytes(b"another line\n" + b"".join(lines(small, CHECKPOINTS)))
    put(small, {CHECKPOINTS: lines(small, CHECKPOINTS)[:2]})
    assert said(small) == []
    assert verify(small, VERIFIER).uncovered == 4
    problems = said(small, VERIFIER, exported)
    assert problems[0] == "checkpoints.jsonl: checkpoint 3, which was exported, is not there: this is an older file"
    assert len(problems) == 2


def test_a_log_without_checkpoints_is_not_whole(small: Path) -> None:
    (small / CHECKPOINTS).unlink()
    assert said(small) == ["checkpoints.jsonl: there are no checkpoints"]


def test_a_directory_where_nothing_was_written_is_whole(tmp_path: Path) -> None:
    assert said(tmp_path) == []


def test_what_comes_after_the_last_checkpoint_may_be_cut_off(small: Path) -> None:
    """As the documentation says."""
    log = AuditLog.open(small)
    log.write([made("after")])
    log.close()
    report = verify(small, VERIFIER)
    assert (report.problems, report.records, report.uncovered) == ([], 11, 1)
    put(small, {"0.jsonl": lines(small, "0.jsonl")[:-1]})
    assert said(small) == []


def test_a_line_that_is_being_written_is_no_problem(small: Path) -> None:
    with (small / "0.jsonl").open("ab") as file:
        file.write(b'{"eventVersion"')
    report = verify(small, VERIFIER)
    assert (report.problems, report.unfinished) == ([], ["0.jsonl"])


def test_a_checkpoint_is_made_only_where_something_changed(small: Path) -> None:
    checkpoints = Checkpoints(small, SIGNER)
    assert checkpoints.make(None, 0.0) is None
    log = AuditLog.open(small)
    assert checkpoints.make(log, 0.0) is None
    log.write([made("more")])
    made_now = checkpoints.make(log, 1_767_225_600.0)
    assert made_now is not None
    assert (made_now.number, made_now.time) == (5, "2026-01-01T00:00:00Z")
    assert checkpoints.make(log, 0.0) is None
    log.close()


def test_another_living_writer_states_its_own_head(small: Path) -> None:
    """Only it knows what of its file is going to be taken back."""
    one, two = AuditLog.open(small), AuditLog.open(small)
    checkpoints = Checkpoints(small, SIGNER)
    two.write([made("two")])
    assert checkpoints.make(one, 0.0) is None
    stated = checkpoints.make(two, 0.0)
    assert stated is not None
    assert {head.writer: head.sequence for head in stated.heads} == {0: 2, 1: 1}
    one.close()
    two.close()


def test_a_checkpoint_that_was_half_written_is_written_anew(small: Path) -> None:
    with (small / CHECKPOINTS).open("ab") as file:
        file.write(b'{"type":"keyquorum')
    assert said(small) == []
    log = AuditLog.open(small)
    log.write([made("more")])
    Checkpoints(small, SIGNER).make(log, 0.0)
    log.close()
    assert said(small) == []
    assert len(lines(small, CHECKPOINTS)) == 5


def test_a_file_that_does_not_end_in_a_checkpoint_gets_none(small: Path) -> None:
    put(small, {CHECKPOINTS: [b"{}\n"]})
    with pytest.raises(AuditError, match="does not end in a checkpoint"):
        Checkpoints(small, SIGNER).make(None, 0.0)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    fill(tmp_path / "audit", 400, rotate_size=20_000, starts=2)
    return tmp_path / "audit"


def aside(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.*.jsonl"))


def test_old_files_are_removed_and_the_rest_is_whole(long: Path) -> None:
    before = aside(long)
    removed = prune(long, SIGNER, 1_767_225_600.0 + 200, 0.0)
    assert sorted(path.name for path in removed) == [name for name in before if name not in aside(long)]
    assert len(removed) > 2
    report = verify(long, VERIFIER)
    assert report.problems == []
    assert 0 < report.records < 400
    assert [r.file for r in report.removed] == [path.name for path in removed]
    log = AuditLog.open(long)
    log.write([made("more")])
    log.close()
    assert prune(long, SIGNER, 1_767_225_600.0 + 300, 0.0)
    assert said(long) == []
    assert prune(long, SIGNER, 1_767_225_600.0 + 10_000, 0.0)
    assert said(long) == []
    assert aside(long) == []
    fill(long, 100, rotate_size=20_000, starts=1)
    assert said(long) == []


def test_a_file_that_was_removed_without_a_statement_is_missing(long: Path) -> None:
    (long / "0.1.jsonl").unlink()
    assert any(problem.startswith("0.2.jsonl:1: ") and "more came before" in problem for problem in said(long))


def test_a_file_more_than_was_stated_is_missing(long: Path) -> None:
    prune(long, SIGNER, 1_767_225_600.0 + 200, 0.0)
    (long / aside(long)[0]).unlink()
    assert said(long)


def test_nothing_is_removed_from_a_log_that_is_not_whole(long: Path) -> None:
    (long / "0.1.jsonl").write_bytes(b"".join(lines(long, "0.1.jsonl")[1:]))
    before = aside(long)
    with pytest.raises(AuditError, match="not whole"):
        prune(long, SIGNER, 1_767_225_600.0 + 200, 0.0)
    assert aside(long) == before


def test_files_that_are_removed_and_not_yet_gone_are_no_problem(long: Path, tmp_path: Path) -> None:
    before = copy(long, tmp_path / "before")
    for path in prune(long, SIGNER, 1_767_225_600.0 + 200, 0.0)[1:]:
        os.link(before / path.name, path)
    assert said(long) == []
