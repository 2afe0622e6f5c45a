# SPDX-License-Identifier: Apache-2.0
"""What cannot be undone does not go by a clock that jumped ahead, and waits no longer than it must."""

import time

import pytest

from keyquorum.clock import Clock

DAY = 86_400.0


class Machine:
    """A machine's two clocks: one that can be set, and one that counts what passes, sleep included."""

    def __init__(self, wall: float = 1_800_000_000.0, uptime: float = 50.0) -> None:
        self.wall, self.uptime = wall, uptime
        self.clock = Clock(lambda: self.wall, lambda: self.uptime)

    def passes(self, seconds: float) -> bool:
        """And the clock is asked again."""
        self.wall += seconds
        self.uptime += seconds
        return self.clock.is_steady()

    def is_set(self, by: float) -> bool:
        self.wall += by
        return self.clock.is_steady()


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_time_that_passes_is_believed(machine: Machine) -> None:
    assert all(machine.passes(seconds) for seconds in (0, 1, 1, 299, 301, DAY, 400 * DAY))  # the last two asleep


def test_a_jump_ahead_is_not_believed_for_ten_minutes(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    assert machine.passes(1)
    assert not machine.is_set(15 * 365 * DAY)
    assert "jumped 473040000 s ahead" in caplog.text
    assert not any(machine.passes(1) for _ in range(599))
    assert machine.passes(1)  # then it is no mistake any more
    assert machine.passes(DAY)


def test_a_jump_that_is_taken_back_never_was(machine: Machine) -> None:
    before = machine.clock.now()
    assert not machine.is_set(400 * DAY)
    machine.is_set(-400 * DAY)
    assert machine.clock.now() == before
    assert machine.passes(601)


@pytest.mark.parametrize("by", [1, 60, 299, -1, -300, -400 * DAY])
def test_a_clock_that_is_set_right_or_back_is_believed(machine: Machine, by: float) -> None:
    assert machine.is_set(by)
    assert machine.passes(1)


def test_each_jump_begins_the_wait_again(machine: Machine) -> None:
    assert not machine.is_set(DAY)
    assert not machine.passes(500)
    assert not machine.is_set(DAY)
    assert not machine.passes(599)
    assert machine.passes(1)


def test_what_development_adds_is_no_jump(machine: Machine) -> None:
    machine.clock.offset += 400 * DAY
    assert machine.passes(1)
    assert machine.clock.now() == machine.wall + 400 * DAY


def test_a_machine_that_has_just_started_is_believed(machine: Machine) -> None:
    assert Machine(uptime=0.0).clock.is_steady()


def test_the_machines_own_clocks_are_steady() -> None:
    clock = Clock()
    assert clock.is_steady()
    assert clock.now() == pytest.approx(time.time(), abs=60)
