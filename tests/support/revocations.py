# SPDX-License-Identifier: Apache-2.0
"""How late a node still lets somebody do what another node has answered that he may not do any more.

Times are the kernel's, of when bytes arrived here (SO_TIMESTAMPNS, socket(7)): how long this process takes to look at
them has no part in what is measured. Load is bounded: each connection sends the next request only after a pause.
"""

import select
import socket
import struct
import threading
import time
from typing import Final, NamedTuple

_TIMESTAMPS: Final = 35  # SO_TIMESTAMPNS and SCM_TIMESTAMPNS
_PAUSE: Final = 0.01


class Seen(NamedTuple):
    """An answer: seconds since the epoch at which it arrived, its HTTP status and its body."""

    at: float
    status: int
    body: bytes


class Asker:
    """One connection, on which answers get the time of their arrival."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._at = 0.0

    def send(self, request: bytes) -> None:
        self._received = b""
        self.socket.sendall(request)

    def receive(self) -> Seen | None:
        """What has come, once it is a whole answer."""
        data, ancillary, _, _ = self.socket.recvmsg(65536, 256)
        if not data:
            raise ConnectionError("the server closed the connection")
        for _, kind, value in ancillary:
            if kind == _TIMESTAMPS:
                seconds, nanoseconds = struct.unpack("qq", value)
                self._at = seconds + nanoseconds / 1e9
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if not found or len(body) < length:
            return None
        assert self._at, "the kernel gave no time of arrival"
        return Seen(self._at, int(head.split(b" ", 2)[1]), body)

    def ask(self, request: bytes, timeout: float = 30.0) -> Seen:
        self.socket.settimeout(timeout)
        self.send(request)
        while (seen := self.receive()) is None:
            pass
        return seen

    def close(self) -> None:
        self.socket.close()


class Load:
    """Sends one request again and again on each of some connections, and notes the answers."""

    def __init__(self, port: int, connections: int, request: bytes) -> None:
        self.request = request
        self.answers: list[Seen] = []
        self._askers = [Asker(port) for _ in range(connections)]
        self._due = dict.fromkeys(self._askers, 0.0)
        self._waiting: dict[int, Asker] = {}
        self._ended = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        poll = select.poll()
        try:
            while not self._ended:
                now = time.monotonic()
                for asker in [asker for asker, due in self._due.items() if due <= now]:
                    del self._due[asker]
                    self._waiting[asker.socket.fileno()] = asker
                    poll.register(asker.socket, select.POLLIN)
                    asker.send(self.request)
                for fd, _ in poll.poll(2):
                    asker = self._waiting[fd]
                    seen = asker.receive()
                    if seen is not None:
                        self.answers.append(seen)
                        poll.unregister(fd)
                        self._due[asker] = time.monotonic() + _PAUSE
        except BaseException as failure:
            self._failure = failure

    def await_status(self, status: int, text: bytes = b"", seconds: float = 20.0) -> None:
        """Wait until every connection has had such an answer, one after the other."""
        deadline, begin = time.monotonic() + seconds, len(self.answers)
        while True:
            assert self._failure is None, self._failure
            found = [seen for seen in self.answers[begin:] if seen.status == status and text in seen.body]
            if len(found) >= len(self._askers):
                return
            assert time.monotonic() < deadline, self.answers[-3:]
            time.sleep(0.005)

    def last_success(self, after: float) -> float:
        """When the last success arrived that did after a moment; that moment itself if none did."""
        return max([after, *(seen.at for seen in self.answers if seen.status == 200)])

    def stop(self) -> None:
        self._ended = True
        self._thread.join()
        for asker in self._askers:
            asker.close()
        assert self._failure is None, self._failure
