# SPDX-License-Identifier: Apache-2.0
"""A change that was made although nobody could learn it in time is in the audit log as both: a request that was
answered by a fault, and, once the database is back, a change."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from audit_lines import written
from cluster import through
from direct import Direct
from postgres import fresh_database, server
from promises_nodes import AtCommit

from keyquorum.app import Service
from keyquorum.audit.signing import Verifier
from keyquorum.audit.verify import verify
from keyquorum.config import Settings

pytestmark = pytest.mark.slow


@contextmanager
def _started(where: Settings) -> Iterator[Service]:
    """With its lease, and without its jobs."""
    service = Service(where)
    try:
        assert service.follower is not None
        service.follower.start()
        _await_database(service)
        yield service
    finally:
        service.close()


def _await_database(service: Service) -> None:
    deadline = time.monotonic() + 20
    while Direct(service)("ListKeys").code is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("restarted", [True, False], ids=["by the next process", "by the same"])
def test_a_change_of_which_nothing_could_be_learned_is_recorded(tmp_path: Path, restarted: bool) -> None:
    link = AtCommit(("127.0.0.1", server().port), arrives=True, once=True)
    with fresh_database() as url:
        where = Settings(data=tmp_path, database=through(link, url), development=True, lock_timeout=1.0)
        with _started(where) as service:
            kms = Direct(service)
            kms.key()
            link.armed = True
            told = kms("CreateKey", Description="in doubt")
            assert told.code == "DependencyTimeoutException"
            assert told.answer.record is not None
            service.pipeline.write_records([told.answer.record])
            link.heal()
            if not restarted:
                service.journal._doubt = 0.0  # half a minute, which a test need not wait
                _await_database(service)
                service.run_jobs()
        with _started(where) as service:
            keys = [key["KeyId"] for key in Direct(service)("ListKeys").body["Keys"]]
            service.audit.state()
            report = verify(tmp_path / "audit", Verifier(service.audit.public_key))
    link.close()
    assert (report.problems, report.unfinished) == ([], [])
    records = [record for record in written(tmp_path / "audit") if record["eventName"] == "CreateKey"]
    made = [record for record in records if "errorCode" not in record]
    assert sorted(record["resources"][0]["ARN"].rpartition("/")[2] for record in made) == sorted(keys)
    assert len(keys) == 2
    [refused] = [record for record in records if "errorCode" in record]
    assert refused["requestID"] == made[-1]["requestID"]
    assert len({record["eventID"] for record in records}) == 3
