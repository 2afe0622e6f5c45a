# SPDX-License-Identifier: Apache-2.0
"""Nodes of one cluster as an operator runs them: each a server with a data directory of its own, all on one PostgreSQL;
and the way between a node and the database, which a test can cut."""

import os
import select
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from processes import kill_all
from servers import Production

_CHUNK: Final = 65536


class Link:
    """A TCP proxy on loopback before ``target``. It may be cut, so that connections break and no new one is made; or
    stalled, so that nothing comes through any more and nobody is told."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._state = "open"
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ended = False
        self._thread.start()

    def cut(self) -> None:
        with self._lock:
            self._state = "cut"
            for end in list(self._pairs):
                self._drop(end)

    def stall(self) -> None:
        with self._lock:
            self._state = "stalled"

    def heal(self) -> None:
        with self._lock:
            self._state = "open"

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self.cut()
        self._listener.close()

    def _drop(self, end: socket.socket) -> None:
        other = self._pairs.pop(end, None)
        for one in (end, other):
            if one is not None:
                self._pairs.pop(one, None)
                one.close()

    def _run(self) -> None:
        while not self._ended:
            with self._lock:
                ends = list(self._pairs) if self._state == "open" else []
            with suppress(OSError, ValueError):  # one that was cut meanwhile
                ready, _, _ = select.select([self._listener, *ends], [], [], 0.005)
                with self._lock:
                    for end in ready:
                        self._serve(end)
            if self._state != "open":
                threading.Event().wait(0.005)

    def _serve(self, end: socket.socket) -> None:
        if end is self._listener:
            near, _ = self._listener.accept()
            if self._state == "cut":
                near.close()
                return
            far = socket.create_connection(self._target)
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[near], self._pairs[far] = far, near
        elif self._state == "open" and end in self._pairs:
            with suppress(OSError):
                data = end.recv(_CHUNK)
                if data:
                    self._pairs[end].sendall(data)
                    return
            self._drop(end)


class Node(Production):
    """One node. The first of a cluster makes the seal key, which the others are given."""

    def __init__(self, directory: Path, url: str, first: "Node | None" = None, *options: str) -> None:
        if first is not None:
            (directory / "data").mkdir(parents=True, mode=0o700)
            shutil.copy(first.data / "seal.key", directory / "data" / "seal.key")
        else:
            directory.mkdir(parents=True)
        super().__init__(directory, "--database", url, *options)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)


@contextmanager
def cluster(directory: Path, urls: list[str], *options: str) -> Iterator[list[Node]]:
    """A node for each URL by which it reaches the one database; each is killed at the end, if it still runs."""
    nodes: list[Node] = []
    try:
        for number, url in enumerate(urls):
            nodes.append(Node(directory / f"node{number}", url, nodes[0] if nodes else None, *options))
        yield nodes
    finally:
        for node in nodes:
            node.signal(signal.SIGCONT) if node._process.poll() is None else None
            kill_all(node)


def through(link: Link, url: str) -> str:
    """A database's URL, by way of a link."""
    head, _, tail = url.rpartition("@")
    return f"{head}@127.0.0.1:{link.port}/{tail.partition('/')[2]}"
