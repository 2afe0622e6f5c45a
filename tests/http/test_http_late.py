# SPDX-License-Identifier: Apache-2.0
"""An answer that was decided too long ago does not leave any more, whatever came between: its record is kept, and the
connection goes on."""

from http_wire import JSON11, Running, post


def test_an_answer_that_is_in_time_leaves(shared: Running) -> None:
    assert shared.ask(post(b"until 30")).status == 200


def test_in_place_of_one_that_is_late_comes_a_fault_that_may_be_retried(shared: Running) -> None:
    wire = shared.connect()
    for _ in range(2):
        late = wire.exchange(post(b"until -0.001"))
        assert late.fault == (500, "DependencyTimeoutException")
        assert late.json["for"] == JSON11.decode()
        assert wire.exchange(post(b"until 30")).status == 200
    assert shared.core.records.count(b'{"body":"until -0.001"}') == 2


def test_what_became_late_behind_another_answer_does_not_leave_either(shared: Running) -> None:
    """Pipelined: the second request is answered after the first, by which time it is still in time, or not."""
    wire = shared.connect()
    wire.send(post(b"sleep 0.3") + post(b"until -1") + post(b"until 30"))
    assert [wire.response().status for _ in range(3)] == [200, 500, 200]
