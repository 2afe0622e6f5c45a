# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for tests: one server of this process's own, with a database for each test; it ends with the
process. Where it is not installed tests skip, and in CI they fail.

Its databases sort text as English dictionaries do, so that what must be ordered by code points has to say so.
"""

import atexit
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

#: Whose the databases are; not a superuser.
ROLE: Final = "keyquorum"
PASSWORD: Final = "pass-word"
_ADMIN: Final = "postgres"
_PLACES: Final = "/usr/lib/postgresql/*/bin"  # Debian's, one for each version
_FAST: Final = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
_SETTINGS: Final = ("max_connections=200", "listen_addresses=127.0.0.1", "max_prepared_transactions=5")
_PREFIX: Final = "keyquorum-postgres-"
_numbers: Final = itertools.count(1)


class Postgres:
    """``durable``: what is committed survives the server's death, which costs time. ``port`` is the same for good."""

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        self._binaries = binaries
        # Its programs refuse to run as root.
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        _sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (self.directory / "owner").write_text(str(os.getpid()))
        os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        self._settings = (*_SETTINGS, *(() if durable else _FAST))
        password = self.directory / "password"
        password.write_text(PASSWORD)
        os.chown(password, self._user.pw_uid, self._user.pw_gid)
        self._data = self.directory / "data"
        self._run(
            "initdb",
            *("-D", str(self._data), "-U", _ADMIN, "-E", "UTF8", "--no-sync", "--auth-local=trust"),
            *("--auth-host=scram-sha-256", f"--pwfile={password}", "--locale=C.UTF-8"),
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([self._binaries / program, *arguments], check=True, capture_output=True, **self._as_its_user())

    def _as_its_user(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {"cwd": self.directory}
        return {
            "user": self._user.pw_uid,
            "group": self._user.pw_gid,
            "extra_groups": [],
            "cwd": self.directory,
            "env": {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        }

    # -- its life

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [part for setting in self._settings for part in ("-c", setting)]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-p", str(self.port), "-k", self.directory, *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_its_user(),
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self) -> None:
        """In good order; connections are ended."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Everything that is only in memory is lost."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(60)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No process of the server does anything, and none is gone."""
        assert self._process is not None
        ids = [self._process.pid, *map(int, _children(self._process.pid))]
        for pid in ids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in ids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- its databases

    def url(self, name: str) -> str:
        return f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def create(self) -> str:
        """An empty database: its name."""
        name = f"test{next(_numbers)}"
        how = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en'"
        self.execute(f"CREATE DATABASE {name} OWNER {ROLE} {how}")
        return name

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """As its superuser."""
        with self.connect(database) as connection:
            cursor = connection.execute(sql.SQL(statement))
            return cursor.fetchall() if cursor.description else []

    def connect(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host=str(self.directory), port=self.port, user=_ADMIN, dbname=database, autocommit=True, connect_timeout=10
        )

    def cut(self, database: str) -> int:
        """End every session of a database; how many there were."""
        found = self.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}' "
            "AND pid <> pg_backend_pid()"
        )
        return len(found)


def _sweep() -> None:
    """End the servers of tests that were killed, and could not end them."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if Path(f"/proc/{int((directory / 'owner').read_text())}").exists():
                continue
            with contextlib.suppress(FileNotFoundError):
                os.kill(int((directory / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
            shutil.rmtree(directory, ignore_errors=True)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _absent() -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL is not installed (apt-get install postgresql)")


def binaries() -> Path:
    """Where its programs are. Skips, and in CI fails, where they are not."""
    found = sorted(Path("/").glob(_PLACES.lstrip("/")), key=lambda path: float(path.parent.name))
    if not found:
        _absent()
    return found[-1]


@functools.cache
def server() -> Postgres:
    """The one of this process, for tests that leave it running."""
    made = Postgres(binaries())
    atexit.register(made.remove)
    return made


@contextmanager
def own_server(*, durable: bool = True) -> Iterator[Postgres]:
    """One that the test may stop and kill."""
    made = Postgres(binaries(), durable=durable)
    try:
        yield made
    finally:
        made.remove()


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database, which goes after the test."""
    postgres = server()
    name = postgres.create()
    try:
        yield postgres.url(name)
    finally:
        postgres.drop(name)


def name_of(url: str) -> str:
    return url.rpartition("/")[2]
