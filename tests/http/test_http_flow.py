# SPDX-License-Identifier: Apache-2.0
"""One request after the other: order, closing, deadlines, records, shutdown. Over a real socket."""

import contextlib
import select
import socket
import threading
import time
from functools import partial
from typing import Any

import pytest
from http_wire import Running, Serve, Wire, get, post, wait_until

TIMEOUT = (408, "RequestTimeoutException")
INTERNAL = (500, "KMSInternalException")


class TestOrder:
    def test_a_fast_request_does_not_overtake_a_slow_one(self, shared: Running) -> None:
        wire = shared.connect()
        bodies = [b"sleep 0.2", b"fast 1", b"sleep 0.05", b"fast 2"]
        wire.send(b"".join(map(post, bodies)))
        assert [wire.response().json["body"].encode() for _ in bodies] == bodies

    def test_nor_one_that_comes_later(self, shared: Running) -> None:
        wire = shared.connect()
        wire.send(post(b"sleep 0.2"))
        time.sleep(0.05)
        wire.send(post(b"fast")[:30])
        time.sleep(0.02)
        wire.send(post(b"fast")[30:])
        assert wire.response().json["body"] == "sleep 0.2"
        assert wire.response().json["body"] == "fast"

    def test_the_core_and_the_app_take_turns(self, shared: Running) -> None:
        wire = shared.connect()
        wire.send(get(b"/slow") + post(b"1") + get(b"/other") + post(b"sleep 0.05") + get(b"/last"))
        shown = [wire.response().json for _ in range(5)]
        assert [one.get("asgi") or one["body"] for one in shown] == ["/slow", "1", "/other", "sleep 0.05", "/last"]

    def test_many_in_one_go(self, shared: Running) -> None:
        """More than one read can hold, so that reading pauses and resumes."""
        wire = shared.connect()
        count, body = 1500, b"x" * 300
        sender = threading.Thread(target=wire.send, args=[post(body) * count])
        sender.start()
        assert all(wire.response().json["body"] == body.decode() for _ in range(count))
        sender.join()

    def test_a_slow_request_holds_up_its_own_connection_only(self, shared: Running) -> None:
        slow, fast = shared.connect(), shared.connect()
        slow.send(post(b"sleep 0.5"))
        assert fast.exchange(post(b"fast")).status == 200
        slow.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            slow.sock.recv(1)

    def test_what_waits_runs_in_a_worker_and_what_does_not_on_the_loop(self, serve: Serve) -> None:
        server = serve()
        server.ask(post(b"sleep 0"))
        server.ask(post(b"fast"))
        worker, loop = server.core.ran_in
        assert worker.startswith("keyquorum")
        assert not loop.startswith("keyquorum")


class TestClosing:
    @pytest.mark.parametrize("first", [post(b"x", b"Connection: close"), get(b"/other", b"Connection: close")])
    def test_what_follows_connection_close_is_not_looked_at(self, serve: Serve, first: bytes) -> None:
        server = serve()
        wire = server.connect()
        answer = wire.exchange(first + post(b"second"))
        assert answer.closes
        assert wire.ended()
        assert b'{"body":"second"}' not in server.core.records

    def test_a_client_that_closed_its_writing_side_gets_its_answers(self, shared: Running) -> None:
        wire = shared.connect()
        wire.send(post(b"sleep 0.1") + post(b"fast"))
        wire.sock.shutdown(socket.SHUT_WR)
        assert wire.response().json["body"] == "sleep 0.1"
        assert wire.response().json["body"] == "fast"
        assert wire.ended()

    def test_half_a_request_and_the_end(self, serve: Serve) -> None:
        server = serve()
        wire = server.connect()
        wire.send(post(b"half")[:-1])
        wire.sock.shutdown(socket.SHUT_WR)
        assert wire.ended()
        assert server.core.records == []

    def test_the_record_of_a_client_that_has_gone_is_written(self, serve: Serve) -> None:
        server = serve()
        wire = server.connect()
        wire.send(post(b"sleep 0.2"))
        time.sleep(0.05)
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
        wire.close()
        wait_until(lambda: server.open == 0)
        wait_until(lambda: server.core.records == [b'{"body":"sleep 0.2"}'])
        assert server.ask(post(b"x")).status == 200


def _has_evicted(front: Any, expected: int) -> bool:
    return bool(front.evicted["memory"] == expected)


def _front(server: Running) -> Any:
    connection: Any = next(iter(server.server.server_state.connections))
    return connection.front


class TestRoom:
    """More connections than there may be: who is known is served, whatever those do who are not."""

    def test_the_oldest_stranger_goes_first(self, serve: Serve) -> None:
        server = serve(connections=3)
        known, silent, other = server.connect(), server.connect(), server.connect()
        assert known.exchange(post(b"1")).status == other.exchange(post(b"stranger")).status == 200
        late = server.connect()
        assert late.exchange(post(b"2")).status == 200
        assert silent.ended()
        assert other.exchange(post(b"stranger")).status == 200
        latest = server.connect()
        assert latest.exchange(post(b"3")).status == 200
        assert other.ended()
        assert known.exchange(post(b"4")).status == 200

    def test_a_stranger_in_the_middle_of_a_request_goes(self, serve: Serve) -> None:
        server = serve(connections=2)
        head, body = server.connect(), server.connect()
        head.send(b"POST / HTTP/1.1\r\nHo")
        body.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        assert server.ask(post(b"1")).status == server.ask(post(b"2")).status == 200
        assert head.ended()
        assert body.ended()

    def test_a_stranger_who_is_being_answered_stays(self, serve: Serve) -> None:
        server = serve(connections=2)
        waiting, idle = server.connect(), server.connect()
        waiting.send(post(b"strangers"))
        assert idle.exchange(post(b"stranger")).status == 200
        wait_until(lambda: sum(each.busy for each in _front(server).connections) == 1)
        assert server.ask(post(b"1")).status == 200
        assert idle.ended()
        server.core.leave.set()
        assert waiting.response().status == 200

    def test_without_strangers_the_longest_idle_goes(self, serve: Serve) -> None:
        server = serve(connections=2)
        first, second = server.connect(), server.connect()
        assert first.exchange(post(b"1")).status == second.exchange(post(b"2")).status == 200
        time.sleep(0.05)
        assert first.exchange(post(b"3")).status == 200
        assert server.connect().exchange(post(b"4")).status == 200
        assert second.ended()
        assert first.exchange(post(b"5")).status == 200

    def test_while_all_are_at_work_none_is_added(self, serve: Serve) -> None:
        server = serve(connections=2)
        for _ in range(2):
            server.connect().send(post(b"strangers"))
        wait_until(lambda: server.open == 2)
        front = _front(server)
        wait_until(lambda: sum(each.busy for each in front.connections) == 2)
        third = server.connect()
        refusal = third.response()
        assert refusal.fault == (400, "ThrottlingException")
        assert refusal.closes
        assert third.ended()
        assert front.refused == 1
        server.core.leave.set()
        for wire in server.wires[:2]:
            assert wire.response().status == 200
        assert server.ask(post(b"3")).status == 200

    def test_what_is_held_for_strangers_is_bounded(self, serve: Serve) -> None:
        server = serve(held_bytes=100_000)
        known = server.connect()
        assert known.exchange(post(b"1")).status == 200
        front = _front(server)
        half = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + 30_000 * b"x"
        wires = []
        for number in range(10):
            wires.append(server.connect())
            wires[-1].send(half)
            expected = max(0, number - 2)
            wait_until(partial(_has_evicted, front, expected))
            assert front.held <= 100_000
        assert all(wire.ended() for wire in wires[:7])
        for wire in wires[8:]:
            wire.close()
        wait_until(lambda: front.held <= 30_000)
        assert wires[7].exchange(30_000 * b"x").status == 200
        wait_until(lambda: front.held == 0)
        assert known.exchange(post(50_000 * b"y")).status == 200
        wait_until(lambda: front.held == 0)

    def test_what_is_put_by_counts(self, serve: Serve) -> None:
        """What comes after a request that waits for a thread."""
        server = serve(held_bytes=100_000)
        wires = [server.connect() for _ in range(4)]
        for wire in wires:
            wire.send(post(b"strangers"))
        wait_until(lambda: server.open == 4)
        front = _front(server)
        wait_until(lambda: sum(each.busy for each in front.connections) == 4)
        for wire in wires:
            wire.send(post(40_000 * b"z"))
        wait_until(lambda: front.held > 100_000)
        server.core.leave.set()
        assert [wire.response().status for wire in wires] == [200] * 4
        refused = [answer for wire in wires if (answer := wire.response()).status != 200]
        assert {answer.fault for answer in refused} == {(400, "ThrottlingException")}
        wait_until(lambda: front.held == 0)


@pytest.mark.slow
class TestDeadlines:
    def test_a_head_that_stalls(self, serve: Serve) -> None:
        wire = serve(header_seconds=0.3).connect()
        assert wire.exchange(b"POST / HTTP/1.1\r\nHo").fault == TIMEOUT
        assert wire.ended()

    def test_a_head_that_trickles(self, serve: Serve) -> None:
        wire = serve(header_seconds=0.3).connect()
        wire.exchange(post(b"first"))
        for byte in b"POST / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100:
            wire.send(bytes([byte]))
            time.sleep(0.01)
            wire.sock.setblocking(False)
            try:
                wire.buffer += wire.sock.recv(65536)
            except BlockingIOError:
                continue
            finally:
                wire.sock.settimeout(10)
            break
        assert wire.response().fault == TIMEOUT

    def test_a_body_that_stalls(self, serve: Serve) -> None:
        wire = serve(body_seconds=0.3).connect()
        assert wire.exchange(post(b"whole")[:-1]).fault == TIMEOUT
        assert wire.ended()

    def test_a_connection_that_never_says_anything(self, serve: Serve) -> None:
        server = serve(header_seconds=0.3)
        silent, blank = server.connect(), server.connect()
        blank.send(b"\r\n")
        assert silent.ended()
        assert blank.ended()

    def test_an_idle_connection(self, serve: Serve) -> None:
        wire = serve(keep_alive_seconds=0.3).connect()
        for _ in range(4):
            assert wire.exchange(post(b"x")).status == 200
            time.sleep(0.12)
        assert wire.exchange(get(b"/other")).status == 200
        assert wire.ended()

    def test_a_request_in_flight_has_none(self, serve: Serve) -> None:
        wire = serve(header_seconds=0.1, body_seconds=0.1, keep_alive_seconds=0.1).connect()
        wire.send(post(b"sleep 0.5") + post(b"next")[:10])
        assert wire.response().status == 200
        wire.send(post(b"next")[10:])
        assert wire.response().json["body"] == "next"

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(post(b"big 60000") * 2000, id="many answers"),
            pytest.param(post(b"big 9000000"), id="a large one"),
            pytest.param(post(b"big 60000", b"Connection: close"), id="one below the high-water mark, then closed"),
            pytest.param(post(b"big 60000"), id="one below the high-water mark, then idle"),
            pytest.param(get(b"/chunks?" + b"x" * 15_000) * 200, id="from the app"),
        ],
    )
    def test_a_client_that_does_not_read(self, serve: Serve, data: bytes) -> None:
        server = serve(write_seconds=0.3, keep_alive_seconds=0.3, send_buffer=4096)
        wire = server.connect(receive_buffer=4096)
        wire.sock.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            wire.send(data)
        wait_until(lambda: server.open == 0)
        assert len(server.core.ran_in) < 100

    def test_a_client_that_reads_late_gets_everything(self, serve: Serve) -> None:
        wire = serve(write_seconds=5).connect(receive_buffer=4096)
        sender = threading.Thread(target=wire.send, args=[post(b"big 60000") * 200])
        sender.start()
        time.sleep(0.3)
        assert all(len(wire.response().json["padding"]) == 60_000 for _ in range(200))
        sender.join()


class TestRecords:
    def test_the_records_of_one_turn_go_out_in_one_write(self, serve: Serve) -> None:
        server = serve()
        wires = [server.connect() for _ in range(8)]
        for wire in wires:
            wire.exchange(post(b"warm"))
        server.core.writes.clear()
        with server.held():  # so that one turn of the loop finds them all
            for wire in wires:
                wire.send(post(b"x"))
        assert all(wire.response().status == 200 for wire in wires)
        assert server.core.writes == [8]

    def test_no_record_no_answer(self, serve: Serve) -> None:
        server = serve()
        wire = server.connect()
        server.core.disk_full = True
        refusal = wire.exchange(post(b"secret"))
        assert refusal.fault == INTERNAL
        assert refusal.json["for"] == "application/x-amz-json-1.1"  # as the answer that was withheld
        assert wire.exchange(post(b"sleep 0.01")).fault == INTERNAL
        server.core.disk_full = False
        assert wire.exchange(post(b"again")).json["body"] == "again"
        assert server.core.records == [b'{"body":"again"}']

    def test_an_answer_without_a_record_needs_no_write(self, serve: Serve) -> None:
        server = serve()
        server.core.disk_full = True
        assert server.ask(post(b"unrecorded")).status == 200

    @pytest.mark.parametrize("body", [b"raise", b"block"])
    def test_a_core_that_raises(self, shared: Running, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
        wire = shared.connect()
        assert wire.exchange(post(body)).fault == INTERNAL
        assert "the core raised" in caplog.text
        assert wire.exchange(post(b"next")).status == 200


class TestShutdown:
    def test_requests_in_flight_finish_and_the_rest_is_closed(self, serve: Serve) -> None:
        server = serve()
        idle, partial, working, app, receiving = (server.connect() for _ in range(5))
        idle.exchange(post(b"x"))
        partial.send(post(b"x")[:20])
        working.send(post(b"sleep 0.6") + post(b"queued"))
        app.send(get(b"/slow"))
        receiving.send(post(b"late")[:-1])
        time.sleep(0.1)
        server.terminate()
        assert idle.ended()
        assert partial.ended()
        assert receiving.exchange(b"e").json["body"] == "late"
        answer = working.response()
        assert answer.json["body"] == "sleep 0.6"
        assert answer.closes
        assert working.ended()
        answer = app.response()
        assert answer.json["asgi"] == "/slow"
        assert answer.closes
        assert app.ended()
        server.thread.join(5)
        assert not server.thread.is_alive()
        assert b'{"body":"queued"}' not in server.core.records
        with pytest.raises(ConnectionRefusedError):
            server.connect()


class TestLines:
    @pytest.mark.parametrize(("line", "room"), [(b"strangers", 512), (b"federation", 128), (b"computing", 64)])
    def test_a_full_line_is_told_to_come_again_and_others_are_served(
        self, serve: Serve, line: bytes, room: int
    ) -> None:
        """Who has not proven anything yet, and what computes for long, takes nobody else's threads."""
        server = serve()
        try:
            wires = [server.connect() for _ in range(room + 5)]
            for wire in wires:
                wire.send(post(line, b"Content-Type: x/y"))
            wait_until(lambda: len(answered(wires)) == 5)
            refusals = [wire.response() for wire in answered(wires)]
            assert [refusal.fault for refusal in refusals] == [(400, "ThrottlingException")] * 5
            assert {refusal.json["for"] for refusal in refusals} == {"x/y"}
            for other in (b"sleep 0", b"fast"):
                assert server.ask(post(other)).status == 200
        finally:
            server.core.leave.set()
        wait_until(lambda: server.ask(post(line)).status == 200)


def answered(wires: list[Wire]) -> list[Wire]:
    """Those on which something has come that was not read yet."""
    waiting = select.poll()  # not select(), which knows no descriptor above 1023
    for wire in wires:
        waiting.register(wire.sock, select.POLLIN)
    ready = {descriptor for descriptor, _ in waiting.poll(0)}
    return [wire for wire in wires if wire.sock.fileno() in ready]
