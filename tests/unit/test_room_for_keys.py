# SPDX-License-Identifier: Apache-2.0
"""The quota of keys is exact, although keys are not counted at each creation."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from direct import Direct

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.quotas import Quotas

MOST = 6


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[Direct, Direct]]:
    """Two on one data directory."""
    settings = Settings(tmp_path / "data", quotas=Quotas(keys_per_region=MOST), development=True)
    services = Service(settings), Service(settings)
    yield Direct(services[0]), Direct(services[1])
    for service in services:
        service.close()


def test_the_quota_is_reached_exactly_whoever_makes_the_keys(processes: tuple[Direct, Direct]) -> None:
    one, _ = processes
    first = one.key()
    for number in range(20):  # changes that make no key
        assert one("UpdateKeyDescription", KeyId=first, Description=str(number)).code is None
    for number in range(MOST - 1):
        assert processes[number % 2]("CreateKey").code is None
    assert [process("CreateKey").code for process in processes] == ["LimitExceededException"] * 2


def test_room_is_found_again_when_a_key_is_gone(processes: tuple[Direct, Direct]) -> None:
    one, other = processes
    keys = [one.key() for _ in range(MOST)]
    assert other("CreateKey").code == "LimitExceededException"
    other("ScheduleKeyDeletion", KeyId=keys[0], PendingWindowInDays=7)
    other.advance(8 * 86_400.0)
    assert one("CreateKey").code is None
    assert one("CreateKey").code == "LimitExceededException"


def test_keys_are_not_counted_as_long_as_there_must_be_room(processes: tuple[Direct, Direct]) -> None:
    """Counting a million of them takes a tenth of a second."""
    one, _ = processes
    one.key()
    counted: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "count(" in statement and "FROM keys" in statement:
            counted.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        for _ in range(3):
            one.key()
        assert counted == []
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
