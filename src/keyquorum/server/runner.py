# SPDX-License-Identifier: Apache-2.0
"""uvicorn's server, and its supervisor of several, with what they lack: an orderly stop, certificates read anew at
SIGHUP, and a deadline for TLS handshakes.

To stop is to take no new connection, answer every request that has come, and end within a deadline. A request that was
sent before the signal is one that has come, whether or not it has been looked at. A second signal gives up waiting: a
change that is being made is still made whole, and what only waits for its turn is dropped unanswered and undone.

It leans on uvicorn's private names, as ``protocol`` does.
"""

import asyncio
import os
import signal
import socket
import time
from types import FrameType
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.supervisors.multiprocess import Multiprocess, Process

#: How long a client may take for a TLS handshake, in seconds.
_HANDSHAKE: Final = 10.0
# The kernel's queue is accepted in one turn of the loop, what those connections have sent is read in the next, and
# after a TLS handshake takes some more.
_TURNS: Final = 8
# After its deadline a worker still finishes the changes that it is making, each of which waits for a lock at most.
_PATIENCE: Final = 30.0


class Loop(uvloop.Loop):
    """uvicorn has no setting for the deadline of handshakes, and uvloop's own is a minute."""

    async def create_server(self, *arguments: Any, **named: Any) -> Any:
        if named.get("ssl") is not None:
            named.setdefault("ssl_handshake_timeout", _HANDSHAKE)
        return await super().create_server(*arguments, **named)


LOOP: Final = f"{__name__}:{Loop.__name__}"


class Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal.signal() calls it
        self._captured_signals.append(sig)
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn would leave the app as it is then; its threads may be changing something
            await self.lifespan.shutdown()


class _Supervised(Server):
    """A terminal's SIGINT reaches the supervisor too, whose SIGTERM would be the second signal."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGINT:
            super().handle_exit(sig, frame)


class _Worker(Process):
    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = _Supervised(self.config)
        return self._server


class Supervisor(Multiprocess):
    """Runs workers, replaces those that die, and passes signals on."""

    def start(self) -> Process:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def init_processes(self) -> None:
        self.processes = [self.start() for _ in range(self.processes_num)]

    def handle_hup(self) -> None:
        """uvicorn would replace the workers, and their connections with them. One that is starting reads the files
        anyway."""
        for worker in self.processes:
            if worker.is_ready(timeout=1) and worker.pid is not None:
                os.kill(worker.pid, signal.SIGHUP)

    def handle_ttin(self) -> None:
        self.processes.append(self.start())

    def handle_int(self) -> None:
        self.handle_term()

    def handle_term(self) -> None:
        if self.should_exit.is_set():
            self._pass_on(signal.SIGTERM)
        self.should_exit.set()

    def keep_subprocess_alive(self) -> None:
        if self.should_exit.is_set():
            return
        for index, worker in enumerate(self.processes):
            if worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            worker.kill()
            worker.join()
            if worker.exitcode == uvicorn.config.STARTUP_FAILURE:  # the next would fail as well
                self.should_exit.set()
            if self.should_exit.is_set():
                return
            self.processes[index] = self.start()

    def terminate_all(self) -> None:
        # A connection that this process alone still listened for would wait for nobody.
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def join_all(self) -> None:
        deadline = time.monotonic() + (self.config.timeout_graceful_shutdown or 0) + _PATIENCE
        while running := [worker for worker in self.processes if worker.process.is_alive()]:
            running[0].process.join(0.2)
            self.handle_signals()
            if time.monotonic() > deadline:
                for worker in running:
                    worker.process.kill()

    def _pass_on(self, number: int) -> None:
        for worker in self.processes:
            if worker.process.is_alive() and worker.pid is not None:
                os.kill(worker.pid, number)
